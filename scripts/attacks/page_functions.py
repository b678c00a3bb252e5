"""The page's functions as a stranger finds them in GET /config, and the ways to call them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from attacks.client import Answer, call, connect, kind_of, new_session, post
from attacks.server import Server

TAKES_FILES = (
    "image", "file", "uploadbutton", "dataset", "video", "audio", "gallery", "multimodaltextbox",
    "imageeditor", "annotatedimage", "model3d", "imageslider", "fileexplorer", "chatbot",
)  # fmt: skip
DEFAULTS: dict[str, Any] = {"dataset": 0, "browserstate": [], "checkbox": False, "textbox": ""}
WAYS = ("queue", "call", "run", "api")


@dataclass(frozen=True)
class PageInput:
    """One input of one function.

    Attributes:
        function, name: number and name of the function.
        streams: answers piece by piece, and waits for more.
        defaults: what the page would send for all inputs of the function.
        position: of this input among them.
    """

    function: int
    name: str
    component: str
    position: int
    streams: bool
    defaults: tuple[Any, ...]

    @property
    def takes_files(self) -> bool:
        return self.component in TAKES_FILES

    def data(self, value: Any) -> list[Any]:
        return [value if n == self.position else old for n, old in enumerate(self.defaults)]

    def __str__(self) -> str:
        return f"{self.name}[{self.position}] ({self.component})"


def page_inputs(server: Server) -> list[PageInput]:
    """Every input of every function that runs on the server."""
    config = httpx.get(f"{server.url}/config", timeout=30).json()
    components = {component["id"]: component for component in config["components"]}
    found = []
    for function in config["dependencies"]:
        if not function["backend_fn"]:
            continue
        inputs = [components[number] for number in function["inputs"]]
        defaults = tuple(
            component["props"].get("value", DEFAULTS.get(component["type"])) for component in inputs
        )
        for position, component in enumerate(inputs):
            name = str(function["api_name"] or function["id"])
            streams = function["connection"] == "stream"
            found.append(
                PageInput(function["id"], name, component["type"], position, streams, defaults)
            )
    return found


def send(server: Server, way: str, at: PageInput, value: Any, *, seconds: float) -> Answer:
    """`value` as one input of a function, by one of `WAYS`."""
    data = at.data(value)
    if way == "queue":
        last = ("process_completed", "process_streaming")[: 1 + at.streams]
        return _queue(server, at.function, data, last, seconds)
    if way == "call":
        return call(server, at.name, data, seconds=seconds)
    body = {"data": data, "session_hash": new_session()}
    return post(server, f"/gradio_api/{way}/{at.name}", seconds=seconds, json=body)


def _queue(
    server: Server, function: int, data: list[Any], last: tuple[str, ...], seconds: float
) -> Answer:
    """As the browser asks: joins the queue and reads the session's events."""
    begun = time.monotonic()
    session = new_session()
    body = {"data": data, "fn_index": function, "session_hash": session, "event_data": None}
    joined = post(server, "/gradio_api/queue/join", seconds=seconds, json=body)
    if joined.kind != "2xx":
        return joined
    texts: list[str] = []
    try:
        with (
            connect(server, seconds) as http,
            http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as got,
        ):
            if got.status_code != httpx.codes.OK:
                return Answer(kind_of(got.status_code), time.monotonic() - begun)
            for line in got.iter_lines():
                passed = time.monotonic() - begun
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    texts += _texts(message)
                    if message["msg"] in last:
                        _close(server, message)
                        kind = "page ok" if message["success"] else "page sentence"
                        return Answer(kind, passed, "\n".join(texts))
                if passed > seconds:
                    return Answer("hangs", passed)
    except httpx.TimeoutException:
        return Answer("hangs", time.monotonic() - begun)
    except (httpx.HTTPError, OSError) as error:
        return Answer("closed", time.monotonic() - begun, repr(error))
    return Answer("closed", time.monotonic() - begun, "\n".join(texts))


def _close(server: Server, message: dict[str, Any]) -> None:
    """Ends a stream, which would keep its place among those that compute."""
    if message["msg"] == "process_streaming":
        post(server, f"/gradio_api/stream/{message['event_id']}/close", seconds=5)


def _texts(message: dict[str, Any]) -> list[str]:
    """What a message says of the answer, without the times and numbers of the queue."""
    if message["msg"] in ("log", "unexpected_error"):
        return [str(message.get("title")), str(message.get("log") or message.get("message"))]
    output = message.get("output")
    if not isinstance(output, dict):
        return []
    kept = {key: output[key] for key in ("data", "error", "title") if key in output}
    return [json.dumps(kept, sort_keys=True, ensure_ascii=False)]
