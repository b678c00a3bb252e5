"""Requests as strangers send them, each bounded in time, and what came back."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from attacks.server import Server

# Kinds of answers: "1xx" "2xx" "3xx" "4xx" "503" "5xx" of HTTP; "page ok", "page sentence" and
# "page Error" (without a reason) of the page's functions; "refused" by others; "closed"; "hangs".


@dataclass(frozen=True)
class Answer:
    """What one request was answered.

    Attributes:
        kind: see above.
        text: the body, or for the page the data of its event stream.
    """

    kind: str
    seconds: float
    text: str = ""
    retry_after: str = ""
    content: bytes = b""

    def sentence(self) -> str:
        """The `detail` or `error` of the answer, or nothing."""
        try:
            said = json.loads(self.text)
        except ValueError:
            return ""
        if not isinstance(said, dict):
            return ""
        return str(said.get("detail") or said.get("error") or "")


def kind_of(status: int) -> str:
    return "503" if status == 503 else f"{status // 100}xx"


def connect(server: Server, seconds: float) -> httpx.Client:
    """A connection that reads no certificates, which takes longer than most answers."""
    return httpx.Client(base_url=server.url, timeout=seconds, verify=False, trust_env=False)


def request(server: Server, method: str, path: str, *, seconds: float, **more: Any) -> Answer:
    """One HTTP request that ends within `seconds`, answered or not."""
    begun = time.monotonic()
    try:
        with (
            connect(server, seconds) as http,
            http.stream(method, path, **more) as response,
        ):
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if time.monotonic() - begun > seconds:
                    return Answer("hangs", time.monotonic() - begun)
    except httpx.TimeoutException:
        return Answer("hangs", time.monotonic() - begun)
    except (httpx.HTTPError, OSError) as error:
        return Answer("closed", time.monotonic() - begun, repr(error))
    return Answer(
        kind_of(response.status_code),
        time.monotonic() - begun,
        content[:200_000].decode("utf-8", "replace"),
        response.headers.get("Retry-After", ""),
        content,
    )


def get(server: Server, path: str, *, seconds: float = 30.0, **more: Any) -> Answer:
    return request(server, "GET", path, seconds=seconds, **more)


def post(server: Server, path: str, *, seconds: float = 30.0, **more: Any) -> Answer:
    return request(server, "POST", path, seconds=seconds, **more)


def classify(
    server: Server, data: bytes, classifier: str = "ages", *, seconds: float = 30.0
) -> Answer:
    """A picture, by the HTTP API."""
    files, fields = {"picture": ("picture", data)}, {"classifier": classifier}
    return post(server, "/api/v1/classify", seconds=seconds, files=files, data=fields)


def upload(server: Server, data: bytes, name: str, *, seconds: float = 30.0) -> str | Answer:
    """The path of a file uploaded as the page does, or what was answered instead."""
    answer = post(server, "/gradio_api/upload", seconds=seconds, files={"files": (name, data)})
    if answer.kind != "2xx":
        return answer
    return str(json.loads(answer.text)[0])


def as_file(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def call_with_file(
    server: Server, name: str, file: bytes, file_name: str, *more: Any, seconds: float = 30.0
) -> Answer:
    """Uploads `file` and gives it to the page's function `name`, in `seconds` altogether."""
    begun = time.monotonic()
    path = upload(server, file, file_name, seconds=seconds)
    if isinstance(path, Answer):
        return path
    left = max(1.0, seconds - (time.monotonic() - begun))
    answer = call(server, name, [as_file(path), *more], seconds=left)
    return Answer(answer.kind, time.monotonic() - begun, answer.text, answer.retry_after)


def call(server: Server, name: str, data: list[Any], *, seconds: float = 30.0) -> Answer:
    """A function of the page by its name: POST, then its event stream."""
    body = json.dumps({"data": data}).encode()
    return call_with_body(server, name, body, seconds=seconds)


def call_with_body(server: Server, name: str, body: bytes, *, seconds: float = 30.0) -> Answer:
    begun = time.monotonic()
    headers = {"Content-Type": "application/json"}
    path = f"/gradio_api/call/{name}"
    begin = post(server, path, seconds=seconds, content=body, headers=headers)
    if begin.kind != "2xx":
        return begin
    event = json.loads(begin.text)["event_id"]
    kind, text = _follow(server, f"{path}/{event}", begun + seconds)
    return Answer(kind, time.monotonic() - begun, text)


def _follow(server: Server, path: str, deadline: float) -> tuple[str, str]:
    """The last event of a stream; heartbeats keep it open, so the deadline is looked at."""
    event, left = "", max(1.0, deadline - time.monotonic())
    try:
        with (
            connect(server, left) as http,
            http.stream("GET", path) as response,
        ):
            for line in response.iter_lines():
                if time.monotonic() > deadline:
                    break
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event == "complete":
                    return "page ok", line.removeprefix("data: ")
                elif line.startswith("data: ") and event == "error":
                    text = line.removeprefix("data: ")
                    said = Answer("", 0, text).sentence()
                    return ("page sentence" if said else "page Error"), text
    except httpx.TimeoutException:
        return "hangs", ""
    except (httpx.HTTPError, OSError) as error:
        return "closed", repr(error)
    return ("hangs" if time.monotonic() > deadline else "closed"), ""


def new_session() -> str:
    return uuid.uuid4().hex[:12]
