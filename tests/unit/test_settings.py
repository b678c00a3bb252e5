"""Whose word for a client's address is believed, as it is set and as uvicorn then takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from settings import PRIVATE_NETWORKS, Settings, read_settings


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("SPACE_ID", "GRADIO_TEMP_DIR", "HEADSMITH_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def settings(*arguments: str) -> Settings:
        return read_settings(["--port", "1", "--cache-dir", str(tmp_path), *arguments])

    return settings


def client_behind(trusted: str, forwarded: str, connected_from: str = "10.1.2.3") -> str:
    """The client's address that an application sees behind uvicorn's own middleware."""
    seen: list[str] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    scope = {
        "type": "http",
        "client": (connected_from, 1),
        "headers": [(b"x-forwarded-for", forwarded.encode())],
    }
    middleware = ProxyHeadersMiddleware(behind, trusted_hosts=trusted)
    anyio.run(middleware, scope, None, None)  # type: ignore[arg-type]
    return seen[0]


def test_nobody_is_trusted_unless_it_is_said(read: Any) -> None:
    assert read().trusted_proxies == ""


def test_on_a_space_proxies_are_those_of_private_networks(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/headsmith")
    trusted = read().trusted_proxies
    assert trusted == PRIVATE_NETWORKS
    # A client may write a first entry of its own; the last one that is no proxy was seen.
    assert client_behind(trusted, "198.51.100.9, 203.0.113.1") == "203.0.113.1"
    assert client_behind(trusted, "198.51.100.9, 203.0.113.1, 10.9.9.9") == "203.0.113.1"
    assert client_behind(trusted, "127.0.0.1, 203.0.113.1") == "203.0.113.1"
    # Who connects from elsewhere is no proxy, whatever it writes.
    assert client_behind(trusted, "203.0.113.1", connected_from="198.51.100.7") == "198.51.100.7"


@pytest.mark.parametrize("wrong", ["*", "10.0.0.0/8,*", "example.org", "10.0.0.0/99", "300.1.1.1"])
def test_what_is_no_network_is_refused_with_a_sentence(
    read: Any, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    with pytest.raises(SystemExit):
        read("--trusted-proxies", wrong)
    told = capsys.readouterr().err
    assert "no address or network" in told
    assert ("any address that a client writes" in told) == ("*" in wrong)


@pytest.mark.parametrize("right", ["127.0.0.1", "10.0.0.0/8, 192.168.1.7", "fc00::/7,::1", ""])
def test_addresses_and_networks_are_taken(read: Any, right: str) -> None:
    assert read("--trusted-proxies", right).trusted_proxies == right


def test_spaces_between_networks_are_understood_by_uvicorn_too(read: Any) -> None:
    trusted = read("--trusted-proxies", "127.0.0.1, 10.0.0.0/8").trusted_proxies
    assert client_behind(trusted, "198.51.100.9, 203.0.113.1, 10.9.9.9") == "203.0.113.1"


def test_uploads_lie_where_gradio_is_told_or_beside_the_heads(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read().upload_dir == tmp_path / "visitors"
    monkeypatch.setenv("GRADIO_TEMP_DIR", "relative")
    assert read().upload_dir == Path.cwd() / "relative"


def test_prompts_are_limited_by_default_and_as_it_is_said(read: Any) -> None:
    assert read().limits.prompts_a_head > 0 and read().limits.prompts_a_day > 0
    limits = read("--prompts-a-head", "7", "--prompts-a-day", "0").limits
    assert (limits.prompts_a_head, limits.prompts_a_day) == (7, 0)
