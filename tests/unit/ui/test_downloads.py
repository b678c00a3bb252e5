"""What a client names by URL: fetched from public addresses only, and not without end."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import anyio
import gradio as gr
import pytest
import safehttpx
from gradio import processing_utils

from classifiers.errors import UploadError
from ui import downloads

BOUND = 1_000_000


class Host(BaseHTTPRequestHandler):
    """A host that misbehaves, by address."""

    n_sent = 0  # bytes of the last answer
    asked: ClassVar[list[tuple[str, str]]] = []  # address, encodings that are accepted

    def do_GET(self) -> None:
        Host.asked.append((self.path, self.headers.get("Accept-Encoding", "")))
        kind = self.path.split("/")[1]
        if kind == "loop":
            return self.redirect(f"/loop/{len(Host.asked)}")
        if kind == "to":
            return self.redirect("http://" + self.path.removeprefix("/to/"))
        if kind == "missing":
            return self.send_error(404)
        self.send_response(200)
        if kind == "gzip":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if kind == "endless":
            self.send_endlessly()
        elif kind == "gzip":
            self.wfile.write(gzip.compress(bytes(10 * BOUND)))
        else:
            self.wfile.write(b"a picture")

    def redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def send_endlessly(self) -> None:
        Host.n_sent = 0
        try:
            while Host.n_sent < 100 * BOUND:
                Host.n_sent += self.wfile.write(bytes(50_000))
        except OSError:  # who asked has had enough
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of that host, called `public.test`, which is taken for a public one."""
    address_of = downloads.public_address

    async def resolve(name: str) -> str:
        return "127.0.0.1" if name == "public.test" else await address_of(name)

    async def nothing(_: str) -> list[str]:
        return []  # else it asks a resolver on the internet

    monkeypatch.setattr(downloads, "public_address", resolve)
    monkeypatch.setattr(safehttpx, "async_resolve_hostname_google", nothing)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Host.asked.clear()
    yield f"http://public.test:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(url: str) -> bytes:
    return anyio.run(downloads.fetch, url, BOUND)


def test_a_file_of_a_public_host_is_fetched(host: str) -> None:
    assert fetch(f"{host}/picture.jpg") == b"a picture"
    assert fetch(f"{host}/to/{host.removeprefix('http://')}/picture.jpg") == b"a picture"


def test_a_body_without_end_is_cut(host: str) -> None:
    with pytest.raises(UploadError, match="larger than 1 MB"):
        fetch(f"{host}/endless")
    # What the sockets' buffers hold beyond it is a few megabytes.
    assert Host.n_sent < 20 * BOUND


def test_what_is_compressed_is_not_unpacked(host: str) -> None:
    """A kilobyte of gzip may become gigabytes."""
    assert len(fetch(f"{host}/gzip")) < BOUND / 10
    assert Host.asked == [("/gzip", "identity")]


def test_an_address_that_leads_on_for_ever_is_given_up(host: str) -> None:
    with pytest.raises(UploadError, match="leads to another too often"):
        fetch(f"{host}/loop")
    assert len(Host.asked) == downloads.MAX_REDIRECTS


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254",
     "0.0.0.0", "[::ffff:127.0.0.1]", "[fe80::1]", "[fc00::1]", "100.100.100.200", "2130706433",
     "0x7f.1", "224.0.0.1", "255.255.255.255"],
)  # fmt: skip
def test_a_private_address_is_not_asked(
    host: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at once nor where a public host leads to it."""
    port = host.rpartition(":")[2]
    reached = []
    send = safehttpx.AsyncSecureTransport.handle_async_request

    async def noted(self: safehttpx.AsyncSecureTransport, request: object) -> object:
        if self.verified_ip != "127.0.0.1" or "public.test" not in str(request.url):  # type: ignore[attr-defined]
            reached.append(self.verified_ip)
            raise OSError("not to be reached by a test")
        return await send(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(safehttpx.AsyncSecureTransport, "handle_async_request", noted)
    for url in (f"http://{address}:{port}/secret", f"{host}/to/{address}:{port}/secret"):
        with pytest.raises(UploadError, match="must be public"):
            fetch(url)
    assert reached == [], "it would have been asked"
    assert [path for path, _ in Host.asked if path == "/secret"] == []


@pytest.mark.parametrize(
    "url", ["http://", "http://[", "ftp://public.test/x", "file:///etc/passwd", "http://a b/",
            "http://\x00/", "http://public.test:99999/", "http://x" + "y" * 5000, "x"],
    ids=lambda url: repr(url)[:24],
)  # fmt: skip
def test_an_odd_address_is_refused_in_words(host: str, url: str) -> None:
    with pytest.raises(UploadError, match="must be public"):
        fetch(url)


def test_an_answer_of_failure_is_no_file(host: str) -> None:
    with pytest.raises(UploadError, match="no file to be had"):
        fetch(f"{host}/missing")


def test_who_answers_too_slowly_is_left(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(_: str) -> str:
        await anyio.sleep_forever()
        return ""

    monkeypatch.setattr(downloads, "MAX_SECONDS", 0.05)
    monkeypatch.setattr(downloads, "public_address", for_ever)
    with pytest.raises(UploadError, match="answer quickly"):
        fetch(f"{host}/picture.jpg")


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of uploads, with Gradio's downloads bounded."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    ours = processing_utils.async_ssrf_protected_download
    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", ours)  # put back later
    downloads.bound_downloads()
    return tmp_path


def test_gradio_s_components_fetch_through_the_bound(
    host: str, bounded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that Gradio calls; another version of it might call another."""
    box = gr.Textbox()
    path = anyio.run(box.async_move_resource_to_block_cache, f"{host}/a/..%2F picture.jpg?x=1")
    assert Path(path).read_bytes() == b"a picture"
    assert Path(path).is_relative_to(bounded) and Path(path).name.endswith("picture.jpg")
    small = downloads.fetch

    async def fetch_little(url: str) -> bytes:
        return await small(url, BOUND)

    monkeypatch.setattr(downloads, "fetch", fetch_little)
    with pytest.raises(gr.Error, match="larger than 1 MB"):
        anyio.run(box.async_move_resource_to_block_cache, f"{host}/endless")
    with pytest.raises(gr.Error, match="must be public"):
        anyio.run(box.async_move_resource_to_block_cache, "http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.test/lion.jpg", "lion.jpg"),
        ("http://a.test/", "file"),
        ("http://a.test", "file"),
        ("http://a.test/..", "file"),
        ("http://a.test/.hidden", "hidden"),
        ("http://a.test/a%2F..%2Fb.jpg", "b.jpg"),
        ("http://a.test/x\\y:z.jpg", "xyz.jpg"),
        ("http://a.test/" + "a" * 300 + ".jpg", "a" * 96 + ".jpg"),
    ],
)
def test_a_file_is_named_by_the_last_part_of_its_address(url: str, name: str) -> None:
    assert downloads._name_in(url) == name
