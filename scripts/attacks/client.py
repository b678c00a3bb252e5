"""Requests as strangers send them, each bounded in time, and what came back."""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import httpx

from attacks.server import Server

# Kinds of answers: "1xx" "2xx" "3xx" "4xx" "503" "5xx" of HTTP; "page ok", "page sentence" and
# "page Error" (without a reason) of the page's functions; "refused" by others; "closed"; "hangs".
LEAKS = ("Traceback", "\n", "/tmp", "/home", "/usr", ".py", "upstream Gradio app")


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


def why_not_a_sentence(text: str, *, ended: bool = True) -> str | None:
    """What is wrong with a message that a visitor reads, or None.

    Args:
        ended: it must also end as a sentence does.
    """
    if not 10 < len(text) < 400:
        return f"no sentence: {text[:80]!r}"
    if ended and not text.rstrip().endswith((".", "…", ")")):
        return f"no end of a sentence: {text[-80:]!r}"
    leaked = [leak for leak in LEAKS if leak in text]
    return f"{leaked[0]!r} in a sentence: {text[:120]!r}" if leaked else None


def why_bad(answer: Answer, *, ended: bool = True) -> str | None:
    """What is wrong with an answer to nonsense: it must be a picture's, a sentence, or 503."""
    if answer.kind in ("1xx", "2xx", "3xx", "page ok", "refused"):
        return None
    if answer.kind == "503":
        return None if answer.retry_after else "503 without Retry-After"
    if answer.kind in ("4xx", "page sentence"):
        return why_not_a_sentence(answer.sentence(), ended=ended)
    return f"{answer.kind} after {answer.seconds:.1f} s {answer.text[:100]!r}"


def by_others(answer: Answer) -> Answer:
    """Of what Gradio or uvicorn refuse nobody expects a sentence of ours: only that they do."""
    refused = answer.kind in ("4xx", "page Error")
    return replace(answer, kind="refused") if refused else answer


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


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has come with all of its body, as far as its length is announced."""
    headers, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", headers)
    return bool(end) and (length is None or len(body) >= int(length[1]))


def new_session() -> str:
    return uuid.uuid4().hex[:12]


def raw(
    server: Server, head: str, chunks: Iterable[bytes], *, seconds: float, pause: float = 0.0
) -> Answer:
    """A request as bytes, read while it is sent: a server may refuse before it has all.

    Args:
        head: request line and headers, lines ended by newlines; Host is added.
        chunks: the body; sent until they end, the time is over, or the server answers.
        pause: seconds between two chunks.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    lines = [*head.strip().split("\n"), f"Host: 127.0.0.1:{server.port}", "", ""]
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        try:
            connection.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape"))
            for chunk in chunks:
                if time.monotonic() > deadline:
                    break
                connection.sendall(chunk)
                if pause:
                    time.sleep(pause)
                connection.settimeout(0.0)
                try:
                    answer = connection.recv(65_536)
                    break  # it has decided
                except BlockingIOError:
                    pass
                finally:
                    connection.settimeout(max(0.5, deadline - time.monotonic()))
        except OSError:
            pass  # closed for writing; the answer may still be there
        try:
            while not _is_whole(answer):
                connection.settimeout(max(0.5, deadline - time.monotonic()))
                more = connection.recv(65_536)
                if not more:
                    break
                answer += more
        except TimeoutError:
            return Answer("hangs", time.monotonic() - begun)
        except OSError as error:
            return Answer("closed", time.monotonic() - begun, repr(error))
    passed = time.monotonic() - begun
    if not answer.startswith(b"HTTP/1.1 "):
        return Answer("closed", passed)
    retry = "yes" if b"retry-after:" in answer.lower() else ""
    body = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
    return Answer(kind_of(int(answer[9:12])), passed, body, retry)
