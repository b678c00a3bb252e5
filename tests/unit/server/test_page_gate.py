"""The wall before Gradio's addresses, in front of an application that answers whatever it gets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from server import page_gate
from server.page_gate import PageGate
from server.upload_quota import UploadQuota

OK, REFUSED, NOWHERE, TOO_MANY_VALUES, NO_JSON, BUSY = 200, 403, 404, 413, 422, 503
JOIN = "/gradio_api/queue/join"
FILES = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of uploads, with one upload in it and a secret beside it."""
    (tmp_path / "uploads" / "a1").mkdir(parents=True)
    (tmp_path / "uploads" / "a1" / "mine.jpg").write_bytes(b"a picture")
    (tmp_path / "secret.txt").write_text("a secret")
    return tmp_path / "uploads"


@pytest.fixture
def passed() -> list[tuple[str, bytes, dict[str, str]]]:
    """What came through: address, body, headers."""
    return []


@pytest.fixture
def client(folder: Path, passed: list[Any]) -> TestClient:
    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        passed.append((scope["path"], await request.body(), dict(request.headers)))
        await JSONResponse({"detail": "Answered by what is behind the gate."})(scope, receive, send)

    gate = PageGate(behind, UploadQuota(folder, 1_000_000), {0, 1, 5, "classify", "look"})
    return TestClient(gate, raise_server_exceptions=True)


def post(client: TestClient, content: object, address: str = JOIN) -> Response:
    body = content if isinstance(content, (str, bytes)) else json.dumps(content)
    return client.post(address, content=body, headers={"Content-Type": "application/json"})


# Paths


def test_an_upload_passes_and_its_request_arrives_as_it_was(
    client: TestClient, folder: Path, passed: list[Any]
) -> None:
    sent = {"fn_index": 5, "data": [{"path": str(folder / "a1" / "mine.jpg"), **FILES}, "ages"]}
    assert post(client, sent).status_code == OK
    (_, body, headers) = passed[0]
    assert json.loads(body) == sent
    assert int(headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda file: {"data": [file]},
        lambda file: {"data": [{"background": {"layers": [[{"image": file}]]}}]},
        lambda file: {"data": [], "event_data": {"value": [{"x": [file]}]}},
        lambda file: {"data": [None, 3, "text", [[[[file]]]]]},
        lambda file: file,
        lambda file: {"data": [{"path": {"path": [file]}}]},
        lambda file: {"data": [{**file, "meta": None}]},
    ],
    ids=["plain", "in layers", "in event data", "in lists", "outermost", "below a path", "no meta"],
)
@pytest.mark.parametrize("outside", ["secret.txt", "missing.txt"])
def test_a_path_outside_is_refused_wherever_it_stands(
    client: TestClient,
    folder: Path,
    passed: list[Any],
    wrap: Callable[[dict[str, Any]], dict[str, Any]],
    outside: str,
) -> None:
    response = post(client, wrap({"path": str(folder.parent / outside), **FILES}))
    assert response.status_code == REFUSED
    assert response.json()["detail"] == page_gate._NO_UPLOAD, "the same whether it exists or not"
    assert passed == []


def odd_paths(folder: Path) -> dict[str, str]:
    """Paths that lead, or seem to lead, out of the folder; all but one to something that is."""
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe")
    return {
        "link": f"{folder}/link.txt",
        "through a linked folder": f"{folder}/linked/secret.txt",
        "dots": f"{folder}/../secret.txt",
        "dots after a name": f"{folder}/a1/../../secret.txt",
        "relative": "secret.txt",
        "a pipe": f"{folder}/pipe",
        "a folder": f"{folder}/a1",
        "the folder itself": str(folder),
        "a device": "/dev/zero",
        "of the process": "/proc/self/environ",
        "empty": "",
        "a null byte": f"{folder}/a1/mine.jpg\0",
        "a name that is too long": f"{folder}/{'x' * 5000}",
        "a file as a folder": f"{folder}/a1/mine.jpg/x",
        "a neighbour": f"{folder}-other/mine.jpg",
        "a file: URL": f"file://{folder}/a1/mine.jpg",
        "no scheme of ours": "HTTP://127.0.0.1/x",
        "surrogate": f"{folder}/\ud800",
    }


def test_paths_that_lead_out_are_refused_alike(
    client: TestClient, folder: Path, passed: list[Any]
) -> None:
    answers = {
        name: post(client, {"data": [{"path": path}]}) for name, path in odd_paths(folder).items()
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, REFUSED
    )
    assert {answer.text for answer in answers.values()} == {answers["link"].text}
    assert passed == []


def test_a_refused_path_leaves_no_file_open(client: TestClient, folder: Path) -> None:
    """Each would be one of the thousand that a process may have."""
    paths = odd_paths(folder)
    n_open = len(os.listdir("/proc/self/fd"))
    for path in [*paths.values(), str(folder / "a1" / "mine.jpg")]:
        post(client, {"data": [{"path": path}]})
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_of_two_keys_of_one_name_the_one_that_counts_is_checked_and_passed_on(
    client: TestClient, folder: Path, passed: list[Any]
) -> None:
    """Another parser might take the first: what is passed on holds one only."""
    mine, secret = folder / "a1" / "mine.jpg", folder.parent / "secret.txt"
    hidden = f'{{"data": [{{"path": "{mine}", "path": "{secret}"}}]}}'
    assert post(client, hidden).status_code == REFUSED
    shown = f'{{"data": [{{"path": "{secret}", "path": "{mine}"}}]}}'
    assert post(client, shown).status_code == OK
    assert b"secret" not in passed[0][1]
    hidden = f'{{"data": [{{"path": "{mine}"}}], "data": [{{"path": "{secret}"}}]}}'
    assert post(client, hidden).status_code == REFUSED


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
def test_json_of_another_encoding_is_checked_too(
    client: TestClient, folder: Path, passed: list[Any], encoding: str
) -> None:
    content = json.dumps({"data": [{"path": str(folder.parent / "secret.txt")}]})
    assert post(client, content.encode(encoding)).status_code in (REFUSED, NO_JSON)
    assert passed == []


def test_what_came_as_utf_16_goes_on_as_utf_8(client: TestClient, passed: list[Any]) -> None:
    assert post(client, '{"data": ["猫"]}'.encode("utf-16")).status_code == OK
    assert passed[0][1] == '{"data": ["猫"]}'.encode()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", "3", '"text"', '[{"path": "/etc/passwd"}]', "{", "\xff\xfe", "{'a': 1}",
     b"\xff\xff\xff", "[" * 100_000, '{"a":' * 100_000],
    ids=lambda body: repr(body)[:24],
)  # fmt: skip
def test_what_is_no_object_of_json_is_refused(
    client: TestClient, passed: list[Any], body: str | bytes
) -> None:
    assert post(client, body).status_code == NO_JSON
    assert passed == []


def test_json_of_any_depth_is_answered(client: TestClient, folder: Path) -> None:
    """Reading and writing it again have each a depth at which Python gives up."""
    for depth in range(900, 1000, 3):
        for start, end in (("[", "]"), ('{"a":', "}")):
            body = f'{{"data": {start * depth}1{end * depth}}}'
            assert post(client, body).status_code in (OK, NO_JSON), depth


def test_half_of_a_surrogate_pair_is_replaced(client: TestClient, passed: list[Any]) -> None:
    assert post(client, r'{"data": ["a\ud800b", "\udc00"], "\ud83d": 1}').status_code == OK
    assert json.loads(passed[0][1].decode("utf-8")) == {"data": ["a?b", "?"], "?": 1}


def test_too_many_values_are_refused_before_they_are_read(
    client: TestClient, passed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '{"data": [' + ",".join(["1"] * 400_001) + "]}"
    with monkeypatch.context() as patch:
        patch.setattr(page_gate.json, "loads", lambda *_: pytest.fail("they were read"))
        assert post(client, body).status_code == TOO_MANY_VALUES
    assert passed == []


# Functions and addresses


@pytest.mark.parametrize("number", [2, -1, 1.0, "5", [5], {}, "classify", 10**30])
def test_a_function_of_an_unknown_number_is_refused(
    client: TestClient, passed: list[Any], number: object
) -> None:
    assert post(client, {"fn_index": number, "data": []}).status_code == NOWHERE
    assert passed == []


def test_true_is_no_number_of_a_function(client: TestClient, passed: list[Any]) -> None:
    """Python takes it for 1; what reads the request after the gate need not."""
    for value in (True, False):
        assert post(client, {"fn_index": value, "data": []}).status_code == NOWHERE
    assert passed == []


@pytest.mark.parametrize("kind", ["call", "run", "api", "call/v2"])
def test_a_function_of_an_unknown_name_is_refused(
    client: TestClient, passed: list[Any], kind: str
) -> None:
    for name in ("nope", "predict", "0", "5"):
        address = f"/gradio_api/{kind}/{name}"
        assert post(client, {"data": []}, address).status_code == NOWHERE, address
    assert passed == []
    assert post(client, {"data": []}, f"/gradio_api/{kind}/classify").status_code == OK


@pytest.mark.parametrize("kind", ["call", "run", "api", "call/v2"])
def test_a_path_is_checked_at_every_address_that_calls_a_function(
    client: TestClient, passed: list[Any], kind: str
) -> None:
    for end in ("", "/"):
        address = f"/gradio_api/{kind}/classify{end}"
        assert post(client, {"data": [{"path": "/etc/passwd"}]}, address).status_code == REFUSED
    assert passed == []


@pytest.mark.parametrize(
    "address",
    [
        "deep_link",
        "deep_link?session_hash=x",
        "proxy=http://169.254.169.254/",
        "proxy=https://example.org",
        "process_recording",
        "component_server",
        "component_server/",
        "file=http://127.0.0.1/",
        "file=https://example.org/x",
        "file=",
        "upload/../file",
        "stream/../x",
        "vibe-edit",
        "monitoring",
        "dev/reload",
        "queue/other",
        "custom_component/x/client/component/index.js",
        "call/a/b/c/d",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_the_page_does_not_need_is_not_there(
    client: TestClient, passed: list[Any], address: str, method: str
) -> None:
    response = client.request(method, f"/gradio_api/{address}", content=b"{}")
    assert response.status_code == NOWHERE
    assert passed == []


@pytest.mark.parametrize(
    "address",
    ["info", "app_id", "queue/data?session_hash=a", "queue/status", "heartbeat/abc", "file=/tmp/x",
     "call/classify/0123", "upload_progress?upload_id=x", "startup-events", "mcp/", "mcp/sse",
     "mcp/schema", "theme"],
)  # fmt: skip
def test_what_the_page_asks_for_passes(client: TestClient, passed: list[Any], address: str) -> None:
    expected = NOWHERE if address == "theme" else OK
    assert client.get(f"/gradio_api/{address}").status_code == expected


def test_other_addresses_than_gradios_are_left_alone(client: TestClient, passed: list[Any]) -> None:
    for address in ("/", "/config", "/api/v1/heads", "/gradio_apix/deep_link"):
        assert client.post(address, content=b"no json").status_code == OK
        assert passed[-1][:2] == (address, b"no json")


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("bytes=0-99", True),
        ("bytes=5-", True),
        ("bytes=-5", False),
        ("bytes=a-b", False),
        ("bytes=0-1,3-4", False),
        ("bytes=" + "9" * 5000 + "-", False),
        ("lines=1-2", False),
        ("", False),
        ("bytes=", False),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_only_a_plain_range_is_passed_on(
    client: TestClient, passed: list[Any], sent: str, arrives: bool
) -> None:
    client.get("/gradio_api/file=/tmp/x", headers={"Range": sent})
    assert ("range" in passed[0][2]) == arrives


# Uploads


def test_uploads_are_refused_while_there_is_no_room(
    client: TestClient, folder: Path, passed: list[Any]
) -> None:
    data = {"files": ("a.jpg", b"12345")}
    assert client.post("/gradio_api/upload", files=data).status_code == OK
    (folder / "just_now").write_bytes(bytes(2_100_000))  # over twice what is allowed
    client.app.quota._bytes_since_sweep = 1_000_000  # type: ignore[attr-defined]  # so it looks
    response = client.post("/gradio_api/upload", files=data)
    assert response.status_code == BUSY and len(passed) == 1
    assert int(response.headers["Retry-After"]) > 0 and response.json()["detail"].endswith(".")
    (folder / "just_now").unlink()
    assert client.post("/gradio_api/upload", files=data).status_code == OK, "there is room again"


def test_an_upload_of_unannounced_size_counts_as_the_largest(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(client.app.quota, "make_room", asked.append)  # type: ignore[attr-defined]
    client.post("/gradio_api/upload", content=iter([b"abc"]))
    client.post("/gradio_api/upload", content=b"abc")
    assert asked == [page_gate.MAX_PICTURE_BYTES, 3]


@pytest.fixture
def strict(folder: Path, passed: list[Any]) -> TestClient:
    """A gate that knows the parameters of its function."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(dict(Request(scope, receive).headers))
        await JSONResponse({"detail": "Answered."})(scope, receive, send)

    parameters = {"classify": {"image": True, "classifier": False}}
    gate = PageGate(behind, UploadQuota(folder, 1_000_000), {"classify"}, parameters)
    return TestClient(gate)


def test_parameters_that_a_function_lacks_never_reach_the_log(
    strict: TestClient, passed: list[Any]
) -> None:
    """Gradio raises an error that quotes them, line breaks and all."""
    address = "/gradio_api/call/v2/classify"
    for body in ({}, {"image": None, "x\nFAKE LINE": 1}, {"classifier": "nouns"}):
        response = post(strict, body, address)
        assert response.status_code == NO_JSON and "FAKE" not in response.text
        assert "classify takes image, classifier" in response.text
    assert passed == []
    assert post(strict, {"image": None}, address).status_code == OK


@pytest.mark.parametrize("address", ["cancel", "reset", "mcp/", "stream/abc"])
def test_every_body_is_counted_wherever_it_goes(
    client: TestClient, passed: list[Any], address: str
) -> None:
    body = '{"a": [' + "[]," * 200_001 + "[]]}"
    assert post(client, body, f"/gradio_api/{address}").status_code == TOO_MANY_VALUES
    assert post(client, '{"a":' * 60 + "1" + "}" * 60, f"/gradio_api/{address}").status_code == 422
    assert passed == []


FORWARDED = ("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix")


@pytest.mark.parametrize("address", ["/", "/config", "/gradio_api/mcp/"])
def test_what_a_client_says_of_a_proxy_is_not_passed_on(
    strict: TestClient, passed: list[Any], address: str
) -> None:
    """Gradio would ask the host that it names, in the server's name."""
    strict.get(address, headers=dict.fromkeys(FORWARDED, "127.0.0.1:9099"))
    assert not {name.lower() for name in FORWARDED} & passed[0].keys()


def test_what_a_trusted_proxy_says_is_passed_on(folder: Path, passed: list[Any]) -> None:
    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(dict(Request(scope, receive).headers))
        await JSONResponse({})(scope, receive, send)

    gate = PageGate(behind, UploadQuota(folder, 1_000_000), (), trusts_proxy=True)
    TestClient(gate).get("/", headers={"X-Forwarded-Host": "example.org"})
    assert passed[0]["x-forwarded-host"] == "example.org"


def test_no_browser_guesses_what_an_upload_is(strict: TestClient) -> None:
    response = strict.get("/gradio_api/file=/somewhere")
    assert response.headers["x-content-type-options"] == "nosniff"
