"""What a running app answers to files and words it cannot use: one sentence, and it goes on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from browser.running_app import RunningApp
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import CallToolResult
from odd_pictures import READABLE, UNREADABLE, encoded
from PIL import Image
from sentences import check_sentence

Classify = Callable[..., dict[str, float]]
SentenceOf = Callable[[Callable[[], object]], str]


@pytest.fixture(scope="module")
def small(photo: Path) -> Image.Image:
    return Image.open(photo).convert("RGB").resize((160, 120))


@pytest.fixture
def assistant(app: RunningApp) -> Callable[..., CallToolResult]:
    """`assistant(tool, **arguments)`: what a tool answers over MCP."""

    async def ask(tool: str, arguments: dict[str, Any]) -> CallToolResult:
        async with (
            streamablehttp_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.call_tool(tool, arguments)

    return lambda tool, **arguments: anyio.run(ask, tool, arguments)


@pytest.fixture
def create(client: Client) -> Callable[..., str]:
    def made(classes: object, template: object = "a photo of a {}", name: object = "") -> str:
        return client.predict(name, template, classes, api_name="/create_classifier")[0]

    return made


@pytest.mark.parametrize("name", READABLE)
def test_an_unusual_picture_is_answered(
    classify: Classify, small: Image.Image, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(READABLE[name](small))
    assert len(classify(path)) == 5


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_picture_is_answered_by_a_sentence(
    classify: Classify,
    sentence_of: SentenceOf,
    small: Image.Image,
    photo: Path,
    tmp_path: Path,
    name: str,
) -> None:
    make, word = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(make(small))
    assert word in sentence_of(lambda: classify(path))
    assert len(classify(photo)) == 5, "the next visitor is not served any more"


@pytest.mark.parametrize(
    ("classes", "template", "word"),
    [
        ("cat, dog", "a photo", "no place for the class"),
        ("cat, dog", "a photo of a {animal}", "no place for the class"),
        ("cat, dog", "", "template"),
        ("cat, dog", " \n \n", "template"),
        ("cat, dog", "{}" + "x" * 600, "characters"),
        ("cat, dog", "\n".join(f"{{}} {n}" for n in range(201)), "templates are too many"),
        ("", "a {}", "at least one class"),
        (" , ,\n\n,", "a {}", "at least one class"),
        ("\0\0", "a {}", "at least one class"),
        ("\n".join(f"class {n}" for n in range(10_001)), "a {}", "10,001 classes are too many"),
        ("\n".join(f"class {n}" for n in range(20_000)), "a {}", "20,000 classes are too many"),
        ("x" * 5_001, "a {}", "characters"),
        (None, "a {}", "at least one class"),
        ("cat, dog", None, "template"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_words_that_make_no_classifier_are_answered_by_a_sentence(
    create: Callable[..., str],
    sentence_of: SentenceOf,
    classes: str | None,
    template: str | None,
    word: str,
) -> None:
    assert word in sentence_of(lambda: create(classes, template))


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ('"=HYPERLINK(""http://x.invalid"",""y"")"', '=HYPERLINK("http://x.invalid","y")'),
        ("=1+1", "=1+1"),
        ("@SUM(A1:A9)", "@SUM(A1:A9)"),
        ("one\0two", "one two"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
        ("קָפֶה שחור", "קָפֶה שחור"),
        ("我的猫", "我的猫"),
        ("{} {class} NAME %s {0.__class__}", "{} {class} NAME %s {0.__class__}"),
        ("; rm -rf / #", "; rm -rf / #"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("word " * 399 + "word", "word " * 399 + "word"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_unusual_classes_are_plain_text(
    create: Callable[..., str],
    client: Client,
    classify: Classify,
    photo: Path,
    written: str,
    understood: str,
) -> None:
    made = create(f"{written}\nsomething else")
    assert set(classify(photo, made)) == {understood, "something else"}
    labels = Path(client.predict(made, "txt", api_name="/export_classifier"))
    assert labels.read_text(encoding="utf-8").splitlines()[0] == understood


def test_one_class_is_enough(create: Callable[..., str], classify: Classify, photo: Path) -> None:
    assert classify(photo, create("cat")) == {"cat": pytest.approx(1)}


def test_ten_thousand_classes_are_not_too_many(
    create: Callable[..., str], classify: Classify, photo: Path
) -> None:
    made = create("\n".join(f"class {n}" for n in range(10_000)))
    assert len(classify(photo, made)) == 5


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "x" * 100_000, "\0", "<b>", None])
def test_a_name_is_never_a_path(create: Callable[..., str], client: Client, name: str) -> None:
    made = create(f"cat, dog, name {str(name)[:9]!r}", name=name)
    file = Path(client.predict(made, "txt", api_name="/export_classifier"))
    assert file.suffix == ".txt" and len(file.name) < 80 and "passwd." in file.name + "passwd."
    assert "root:" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "classifier",
    ["nope", "", None, "../nouns", "nouns.csv", "0" * 32, "x" * 10_000, "\0", "<script>"],
    ids=lambda value: repr(value)[:20],
)
def test_an_unknown_classifier_is_answered_by_a_sentence(
    classify: Classify, client: Client, sentence_of: SentenceOf, photo: Path, classifier: str
) -> None:
    assert "no classifier" in sentence_of(lambda: classify(photo, classifier))
    assert "no classifier" in sentence_of(
        lambda: client.predict(classifier, "pt", api_name="/export_classifier")
    )


@pytest.mark.parametrize("suffix", ["exe", "", None, "../pt", "PT", "onnx\0"])
def test_an_unknown_format_is_answered_by_a_sentence(
    client: Client, sentence_of: SentenceOf, suffix: str
) -> None:
    sentence = sentence_of(lambda: client.predict("ages", suffix, api_name="/export_classifier"))
    assert "format" in sentence and "pt, ptl, zip" in sentence


def test_no_picture_is_answered_by_a_sentence(client: Client, sentence_of: SentenceOf) -> None:
    sentence = sentence_of(lambda: client.predict(None, "ages", api_name="/classify"))
    assert "picture" in sentence


# What no browser of ours sends

MALFORMED_DATA_URLS = [
    "data:",
    "data:,",
    "data:image/jpeg",
    "data:image/jpeg;base64",
    "data:image/jpeg;base64,",
    "data:image/jpeg;base64,====",
    "data:image/jpeg;base64,a",
    "data:text/plain;base64,aGVsbG8=",
    "data:image/png;base64,aGVsbG8=",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "data:image/png,raw",
]


@pytest.mark.parametrize("url", MALFORMED_DATA_URLS)
def test_a_malformed_data_url_is_answered_by_a_sentence(
    http: httpx.Client, assistant: Callable[..., CallToolResult], url: str
) -> None:
    picture = {"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}
    begun = http.post("/gradio_api/call/classify", json={"data": [picture, "ages"]}).json()
    events = http.get(f"/gradio_api/call/classify/{begun['event_id']}").text
    assert "event: error" in events, events
    answer = json.loads(events.rpartition("\ndata: ")[2])
    check_sentence(answer["error"] if isinstance(answer, dict) else answer)
    told = assistant("classify", image=url, classifier="ages")
    text = " ".join(getattr(part, "text", "") for part in told.content)
    assert told.isError and len(text) > 10
    assert "Traceback" not in text and ".py" not in text and "/tmp" not in text, text


HALF = "\ud83d"  # of a character; JSON can hold it, UTF-8 cannot


@pytest.mark.parametrize("field", ["name", "template", "classes", "format", "precision", "unknown"])
@pytest.mark.parametrize("text", [HALF, f"a {{}} {HALF}", f"cat{HALF}"], ids=ascii)
def test_half_a_character_in_a_new_head_is_answered(
    http: httpx.Client, field: str, text: str
) -> None:
    wanted: dict[str, object] = {"classes": ["cat", "dog"], "format": "txt"}
    wanted[field] = [text, "dog"] if field == "classes" else text
    body = json.dumps(wanted)
    assert HALF not in body, "JSON writes it as an escape"
    response = http.post(
        "/api/v1/heads", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code < 500, response.text
    if response.status_code != httpx.codes.OK:
        check_sentence(response.json()["detail"])
    response.content.decode("utf-8")


@pytest.mark.parametrize("at", range(3))
def test_half_a_character_in_an_argument_is_answered(http: httpx.Client, at: int) -> None:
    data = ["a name", "a photo of a {}", "cat, dog"]
    data[at] += HALF
    begun = http.post(
        "/gradio_api/call/create_classifier",
        content=json.dumps({"data": data}),
        headers={"Content-Type": "application/json"},
    )
    assert begun.status_code == httpx.codes.OK
    event = begun.json()["event_id"]
    events = http.get(f"/gradio_api/call/create_classifier/{event}").content.decode("utf-8")
    assert "event: complete" in events or "event: error" in events


@pytest.mark.parametrize("address", ["/api/v1/heads", "/gradio_api/call/create_classifier"])
@pytest.mark.parametrize("depth", [50, 900, 930, 960, 990, 1_000, 100_000])
def test_deep_json_is_answered(http: httpx.Client, address: str, depth: int) -> None:
    for start, end in (("[", "]"), ('{"a":', "}")):
        deep = start * depth + "1" + end * depth
        body = f'{{"classes": {deep}, "data": ["", "a {{}}", {deep}]}}'
        headers = {"Content-Type": "application/json"}
        response = http.post(address, content=body, headers=headers)
        assert response.status_code < 500, (depth, response.text)


def test_millions_of_numbers_for_classes_are_refused_at_once(http: httpx.Client) -> None:
    body = '{"classes": [' + ",".join(["1"] * 2_000_000) + "]}"
    response = http.post(
        "/api/v1/heads", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    check_sentence(response.json()["detail"])


@pytest.mark.parametrize("announced", [True, False])
def test_more_words_than_anybody_types_are_refused(http: httpx.Client, announced: bool) -> None:
    body = json.dumps({"classes": ["x" * 6_000_000]}).encode()
    content = body if announced else (body[n : n + 65_536] for n in range(0, len(body), 65_536))
    response = http.post(
        "/api/v1/heads", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    check_sentence(response.json()["detail"])
    assert http.get("/api/v1/healthz").status_code == httpx.codes.OK


def without_time_scale(photo: Image.Image) -> bytes:
    """An animated AVIF whose seconds have no parts."""
    data = bytearray(
        encoded(photo, "AVIF", save_all=True, append_images=[photo.rotate(90)], speed=10)
    )
    for box in (b"mvhd", b"mdhd"):
        at = data.find(box)
        assert at > 0, f"no {box!r} in an animation"
        version = data[at + 4]
        start = at + 8 + (8 if version == 0 else 16)
        data[start : start + 4] = bytes(4)
    return bytes(data)


def with_offsets_of_text(photo: Image.Image) -> bytes:
    """A TIFF that says where its rows are by letters instead of numbers."""
    data = bytearray(encoded(photo, "TIFF"))
    assert data[:2] == b"II"
    directory = struct.unpack_from("<I", data, 4)[0]
    for n in range(struct.unpack_from("<H", data, directory)[0]):
        entry = directory + 2 + 12 * n
        if struct.unpack_from("<H", data, entry)[0] == 273:
            struct.pack_into("<H", data, entry + 2, 2)
            return bytes(data)
    raise AssertionError("no StripOffsets")


@pytest.mark.parametrize("make", [without_time_scale, with_offsets_of_text])
def test_a_picture_with_odd_numbers_inside_is_answered(
    http: httpx.Client, small: Image.Image, make: Callable[[Image.Image], bytes]
) -> None:
    response = http.post(
        "/api/v1/classify", files={"picture": make(small)}, data={"classifier": "ages"}
    )
    assert response.status_code in (httpx.codes.OK, httpx.codes.UNPROCESSABLE_ENTITY)
    if response.status_code != httpx.codes.OK:
        check_sentence(response.json()["detail"])
