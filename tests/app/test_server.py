"""How the process serves: what it opens to the network, and what it never gives away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from browser.running_app import ROOT, RunningApp, free_port, running_app
from gradio_client import Client, handle_file

SentenceOf = Callable[[Callable[[], object]], str]


def test_the_page_is_called_headsmith_and_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    html = http.get("/").text
    assert "<title>Headsmith</title>" in html or '"title":"Headsmith"' in html
    loaded = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=[\"']?([^\"'\s>]+)", html)
    loaded += re.findall(r"<link[^>]*\bhref=[\"']?([^\"'\s>]+)", html)
    loaded += re.findall(r"(?:url\(|@import\s+)[\"']?(https?://[^\"')]+)", html)
    assert loaded, "the page has no scripts at all?"
    assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []


def test_the_style_sheet_and_theme_name_no_other_host(http: httpx.Client) -> None:
    css = http.get("/theme.css").text + (ROOT / "assets" / "page.css").read_text(encoding="utf-8")
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", css)


def test_monitoring_is_off(http: httpx.Client) -> None:
    for path in ("/monitoring", "/monitoring/summary", "/gradio_api/monitoring/summary"):
        assert http.get(path).status_code in (403, 404), path


def test_the_heads_of_others_are_not_served_as_files(
    app: RunningApp, client: Client, http: httpx.Client
) -> None:
    made, _ = client.predict("", "a {}", "secret, other secret", api_name="/create_classifier")
    stored = app.folder / "cache" / "heads" / f"{made}.safetensors"
    assert stored.is_file()
    assert http.get(f"/gradio_api/file={stored}").status_code in (403, 404)


def test_an_upload_over_the_limit_gets_a_clear_answer(http: httpx.Client, photo: Path) -> None:
    too_large = photo.read_bytes() + bytes(51 * 1024 * 1024)
    response = http.post("/gradio_api/upload", files={"files": ("huge.jpg", too_large)})
    assert response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert "50 MB is the most" in response.text and "Traceback" not in response.text
    assert http.get("/").status_code == httpx.codes.OK


def test_nothing_of_an_error_of_ours_reaches_a_visitor(http: httpx.Client) -> None:
    """A request of a wrong form is an error in the log, and for the visitor no traceback."""
    for data in ([], [1], [{"no": "picture"}, "ages"], ["text", "ages"], [[], {}]):
        begun = http.post("/gradio_api/call/classify", json={"data": data})
        text = begun.text
        if begun.status_code == httpx.codes.OK:
            text = http.get(f"/gradio_api/call/classify/{begun.json()['event_id']}").text
            assert "event: error" in text
        assert "Traceback" not in text and ".py" not in text, text


def test_importing_the_app_does_not_import_torch() -> None:
    """Torch takes seconds; the page is served before it is there."""
    code = "import app, sys; print([m for m in ('torch', 'open_clip') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_without_a_model_the_page_is_served_and_says_what_is_missing(
    tmp_path: Path, photo: Path, sentence_of: SentenceOf
) -> None:
    port = free_port()
    with running_app(
        tmp_path / "app",
        "local-dir:no-such-folder",
        url=f"http://127.0.0.1:{port}",
        arguments=[],
        environment={"GRADIO_SERVER_PORT": str(port)},
    ) as served:
        assert "Headsmith" in httpx.get(served.url).text
        client = Client(served.url, verbose=False)
        sentence = sentence_of(
            lambda: client.predict(handle_file(str(photo)), "ages", api_name="/classify")
        )
        assert "no-such-folder" in sentence and "open_clip_config.json" in sentence
        assert client.predict(api_name="/list_classifiers"), "the label sets need no model"
        client.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
def test_host_and_port_flags_win_over_the_environment(tmp_path: Path, tiny_model: str) -> None:
    port, other = free_port(), free_port()
    with running_app(
        tmp_path / "app",
        tiny_model,
        url=f"http://127.0.0.2:{port}",
        arguments=["--host", "127.0.0.2", "--port", str(port)],
        environment={"GRADIO_SERVER_PORT": str(other), "GRADIO_SERVER_NAME": "127.0.0.1"},
    ) as served:
        assert httpx.get(served.url).status_code == httpx.codes.OK
        for url in (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"):
            with pytest.raises(httpx.TransportError):
                httpx.get(url)


def test_the_log_tells_nothing_of_what_people_ask(
    app: RunningApp, client: Client, photo: Path
) -> None:
    made, _ = client.predict("", "a {}", "privacy-canary, other", api_name="/create_classifier")
    client.predict(handle_file(str(photo)), made, api_name="/classify")
    assert "privacy-canary" not in app.log


def test_the_config_of_the_page_names_no_path_of_the_server(http: httpx.Client) -> None:
    config = json.dumps(http.get("/config").json())
    assert str(ROOT) not in config
