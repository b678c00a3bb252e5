"""No request makes a running app open, copy or show a file that was not uploaded to it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser.running_app import RunningApp

from classifiers import Encoder, build_zero_shot_head, export_head

OK, REFUSED, NOWHERE = 200, 403, 404
CANARY = "canary-7c1e0b"  # in the files, not in their names, which a request repeats
SECONDS_AT_ONCE = 5  # a pipe or device that was opened would keep the request for ever
FILE_BOXES = ("image", "file", "uploadbutton")


@pytest.fixture(scope="module")
def secret(
    tmp_path_factory: pytest.TempPathFactory, photo: Path, encoder: Encoder
) -> dict[str, Path]:
    """Files that the app's process can read, each of a kind that some function takes."""
    folder = tmp_path_factory.mktemp("secret")
    files = {suffix: folder / f"secret.{suffix}" for suffix in ("jpg", "txt", "csv", "zip")}
    files["jpg"].write_bytes(photo.read_bytes() + CANARY.encode())
    files["txt"].write_text(f"{CANARY}\nother\n")
    files["csv"].write_text(f"class\n{CANARY}\nother\n")
    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.write(files["txt"], "labels.txt")
    head = build_zero_shot_head(encoder, (CANARY, "other"), ("a {}",), name=CANARY)
    files["safetensors"] = export_head(head, folder / "secret.safetensors")
    return files


@pytest.fixture(scope="module")
def outside(app: RunningApp, secret: dict[str, Path]) -> Iterator[list[str]]:
    """Paths that lead to those files and to others, by every way there is."""
    uploads = app.folder / "uploads"
    inside = uploads / "walls"
    inside.mkdir(parents=True, exist_ok=True)
    (inside / "link.jpg").symlink_to(secret["jpg"])
    (inside / "folder").symlink_to(secret["jpg"].parent)
    os.mkfifo(inside / "pipe.jpg")
    os.mkfifo(secret["jpg"].parent / "pipe.jpg")
    yield [
        *map(str, secret.values()),
        str(secret["jpg"].parent / "missing.jpg"),
        str(inside / "link.jpg"),
        str(inside / "folder" / secret["jpg"].name),
        f"{inside}/../../../../../../../../..{secret['txt']}",
        os.path.relpath(secret["txt"], Path.cwd()),
        str(inside / "pipe.jpg"),
        str(secret["jpg"].parent / "pipe.jpg"),
        str(inside),
        str(uploads),
        str(inside / "missing.jpg"),
        "/dev/zero",
        "/proc/self/environ",
        "/etc/passwd",
        str(app.folder / "log.txt"),
        f"file://{secret['jpg']}",
    ]
    shutil.rmtree(inside)


@dataclass(frozen=True)
class Function:
    """One of the page's functions, as /config tells it."""

    number: int
    name: str
    inputs: tuple[str, ...]  # types of components


@pytest.fixture(scope="module")
def functions(app: RunningApp) -> list[Function]:
    config = httpx.get(f"{app.url}/config").json()
    types = {component["id"]: component["type"] for component in config["components"]}
    found = [
        Function(entry["id"], entry["api_name"], tuple(types[i] for i in entry["inputs"]))
        for entry in config["dependencies"]
        if entry["backend_fn"]
    ]
    assert len(found) > 40, "the page has as many; the walk would be none"
    return found


def as_file(path: str) -> dict[str, Any]:
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


def call_of(function: Function, at: int, value: object) -> dict[str, Any]:
    """A request to the function with `value` as its argument number `at` and else nothing."""
    data = [value if i == at else None for i in range(len(function.inputs))]
    return {"fn_index": function.number, "data": data, "session_hash": secrets.token_hex(8)}


def answer_of(http: httpx.Client, body: dict[str, Any]) -> tuple[bool, str]:
    """Whether the function ended well, and all that was sent of it."""
    joined = http.post("/gradio_api/queue/join", json=body)
    if joined.status_code != OK:
        return False, joined.text
    text, well = "", False
    address = f"/gradio_api/queue/data?session_hash={body['session_hash']}"
    with http.stream("GET", address, timeout=60) as events:
        for line in events.iter_lines():
            text += line
            if '"process_completed"' in line or '"process_streaming"' in line:
                # The camera's has no end of its own.
                well = bool(json.loads(line.removeprefix("data: "))["success"])
                break
    return well, text


def files_with_canary(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and CANARY.encode() in path.read_bytes()
    ]


# The walk


def test_a_file_of_the_server_is_refused_by_every_function_in_every_argument(
    app: RunningApp, http: httpx.Client, functions: list[Function], outside: list[str]
) -> None:
    sentences, n_asked = set(), 0
    for function in functions:
        for at in range(len(function.inputs)):
            takes_files = function.inputs[at] in FILE_BOXES
            for path in outside if takes_files else outside[: len(FILE_BOXES)]:
                begun = time.monotonic()
                body = call_of(function, at, as_file(path))
                response = http.post("/gradio_api/queue/join", json=body)
                assert time.monotonic() - begun < SECONDS_AT_ONCE, (function, path)
                assert response.status_code == REFUSED, (function, at, path, response.text)
                sentences.add(response.text)
                n_asked += 1
    assert n_asked > 200
    assert len(sentences) == 1, "a difference tells whether the file exists"
    assert CANARY not in sentences.pop()
    assert files_with_canary(app.folder) == []
    assert http.get("/api/v1/healthz").status_code == OK


def test_a_file_of_the_server_is_refused_at_every_address_that_calls_a_function(
    app: RunningApp, http: httpx.Client, functions: list[Function], outside: list[str]
) -> None:
    with_files = [f for f in functions if any(box in FILE_BOXES for box in f.inputs)]
    assert {f.name for f in with_files} >= {"classify", "import", "read_file"}
    sentences = set()
    for function in with_files:
        at = next(i for i, box in enumerate(function.inputs) if box in FILE_BOXES)
        for kind in ("call", "call/v2", "run", "api"):
            for path in outside:
                begun = time.monotonic()
                body = call_of(function, at, as_file(path))
                response = http.post(f"/gradio_api/{kind}/{function.name}", json=body)
                assert time.monotonic() - begun < SECONDS_AT_ONCE, (function, path)
                assert response.status_code == REFUSED, (kind, function, path, response.text)
                sentences.add(response.text)
            older = http.post(f"/{kind}/{function.name}", json=body)
            assert older.status_code in (NOWHERE, 405), "an address without Gradio's prefix"
    assert len(sentences) == 1
    assert files_with_canary(app.folder) == []
    assert http.get("/api/v1/healthz").status_code == OK


def test_a_path_that_is_called_otherwise_opens_nothing_either(
    app: RunningApp, http: httpx.Client, functions: list[Function], secret: dict[str, Path]
) -> None:
    """As text, as a remembered draft, as a URL: these pass the gate, and handlers refuse."""
    picture = str(secret["jpg"])
    disguises: list[object] = [
        picture,
        [picture],
        {"picture": picture, "chosen": "nouns", "model": picture},
        {"path": None, "url": picture, "meta": {"_type": "gradio.FileData"}},
        {"path": None, "url": f"file://{picture}", "meta": {"_type": "gradio.FileData"}},
    ]
    for function in functions:
        for at, box in enumerate(function.inputs):
            if box not in (*FILE_BOXES, "browserstate", "dataset"):
                continue
            for value in disguises:
                _, text = answer_of(http, call_of(function, at, value))
                assert CANARY not in text, (function, value)
                assert f"file={picture}" not in text, (function, value)
    assert files_with_canary(app.folder) == []


def test_an_address_of_a_file_tells_nothing_of_the_server(
    http: httpx.Client, outside: list[str]
) -> None:
    for path in outside:
        if path.endswith("uploads/walls/pipe.jpg"):
            continue  # Gradio's own answer fails on it; no visitor can make one
        response = http.get(f"/gradio_api/file={path}")
        assert CANARY not in response.text, path
        assert response.status_code in (REFUSED, NOWHERE), path


@pytest.mark.parametrize("kind", ["jpg", "txt"])
def test_existing_and_missing_files_get_the_same_answer(
    http: httpx.Client, secret: dict[str, Path], kind: str
) -> None:
    there, missing = secret[kind], secret[kind].with_name(f"missing.{kind}")
    answers = [http.get(f"/gradio_api/file={path}") for path in (there, missing)]
    assert answers[0].status_code == answers[1].status_code == REFUSED
    assert _without_path(answers[0].text) == _without_path(answers[1].text)


def _without_path(text: str) -> str:
    return text.partition(": /")[0]


# What must go on working, or the walk would pass since nothing does


@pytest.fixture
def upload(http: httpx.Client) -> Callable[[Path], str]:
    """Uploads a file as a browser does; returns its path."""

    def send(path: Path) -> str:
        files = {"files": (path.name, path.read_bytes())}
        return str(http.post("/gradio_api/upload", files=files).json()[0])

    return send


def test_every_function_that_takes_a_file_takes_an_uploaded_one(
    http: httpx.Client,
    functions: list[Function],
    upload: Callable[[Path], str],
    photo: Path,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    lines = tmp_path / "classes.txt"
    lines.write_text("goldfish\nspider\n")
    head = build_zero_shot_head(encoder, ("goldfish", "spider"), ("a {}",), name="Uploaded")
    made = export_head(head, tmp_path / "head.safetensors")
    taken = []
    for function in functions:
        for at, box in enumerate(function.inputs):
            if box not in FILE_BOXES:
                continue
            file = lines if function.name == "read_file" else made
            body = call_of(function, at, as_file(upload(photo if box == "image" else file)))
            for other, kind in enumerate(function.inputs):
                if kind in ("textbox", "dropdown"):
                    body["data"][other] = "ages"
            well, text = answer_of(http, body)
            assert well, (function, text)
            assert "did not work" not in text, (function, text)
            taken.append(function.name)
    assert len(taken) >= 7, f"fewer functions than the page has take a file: {taken}"


def test_a_visitor_s_upload_is_shown_and_classified_by_its_address(
    http: httpx.Client, upload: Callable[[Path], str], photo: Path
) -> None:
    path = upload(photo)
    assert http.get(f"/gradio_api/file={path}").content == photo.read_bytes()
    begun = http.post("/gradio_api/call/classify", json={"data": [as_file(path), "ages"]}).json()
    events = http.get(f"/gradio_api/call/classify/{begun['event_id']}").text
    assert "event: complete" in events and "confidences" in events
