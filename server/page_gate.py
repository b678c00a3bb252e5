"""What the page's own addresses take from strangers.  A wall before Gradio's, not part of it.

Gradio serves more addresses than the page uses, and opens the paths that come in a request's
JSON.  Here only the addresses that are needed pass, and only paths of uploads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import anyio
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifiers.errors import BusyError, UploadError
from classifiers.files import open_inside
from server.body_limit import MAX_PICTURE_BYTES, has_too_many_values
from server.upload_quota import UploadQuota

PREFIX = "/gradio_api/"
PAGE_CALL = "predict"

# Below PREFIX.  Not among them: sound and screen recordings, links that keep a visitor's state
# on disk, proxies, what only developers need.
_ADDRESSES = re.compile(
    r"(info|app_id|login_check|token|startup-events|reset|cancel|upload|upload_progress"
    r"|queue/(join|data|status)|heartbeat/[\w-]{1,100}|file=.+"
    r"|(call|run|api)/(v2/)?[\w-]{1,100}(/[\w-]{1,100})?"
    r"|stream/[\w-]{1,100}(/close)?|mcp(/.*)?)/?"
)
_NAMED_CALL = re.compile(r"(call|run|api)/(?P<by_name>v2/)?(?P<name>[\w-]+)/?")
_MAY_BE_EMPTY = re.compile(r"(stream/[\w-]+/close|startup-events|mcp.*)/?")
_RANGE = re.compile(rb"bytes=\d{1,15}-\d{0,15}")

# Gradio builds addresses from these, and asks them in the server's name.
_FORWARDED = (b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix")

_MAX_DEPTH = 50  # of JSON

_NO_UPLOAD = "That file was not uploaded here, or is not here any more; send it again."
_NO_JSON = "The request is not the JSON that is expected; /docs and the page's “API” show it."
_NOWHERE = "There is nothing at this address."


class PageGate:
    """ASGI middleware.

    Args:
        quota: of the folder of uploads, the only place whose files a request may name.
        functions: names and numbers of the page's functions.
        parameters: of each named function its parameters, and whether each must be given.
        trusts_proxy: what a proxy says of the address that was asked for is believed.
    """

    def __init__(
        self,
        app: ASGIApp,
        quota: UploadQuota,
        functions: Collection[str | int],
        parameters: Mapping[str, Mapping[str, bool]] | None = None,
        trusts_proxy: bool = False,
    ) -> None:
        self.app = app
        self.quota = quota
        self.functions = frozenset(functions)
        self.parameters = parameters or {}
        self.trusts_proxy = trusts_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if not self.trusts_proxy:
            scope = _without(scope, _FORWARDED)
        if scope["type"] != "http" or not path.startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        try:
            below = path.removeprefix(PREFIX)
            if not _ADDRESSES.fullmatch(below) or below.startswith(("file=http:", "file=https:")):
                raise HTTPException(404, _NOWHERE)
            if scope["method"] == "POST" and below.startswith("upload"):
                await self._make_room(scope)
            elif scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                call = _NAMED_CALL.fullmatch(below)
                receive = await self._checked(scope, receive, call)
        except HTTPException as error:
            answer = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await answer(scope, receive, send)
            return
        await self.app(_with_plain_range(scope), receive, _never_guessing(send))

    async def _make_room(self, scope: Scope) -> None:
        announced = Headers(scope=scope).get("content-length", "")
        n_bytes = int(announced) if announced.isdigit() else MAX_PICTURE_BYTES
        try:
            await anyio.to_thread.run_sync(self.quota.make_room, n_bytes)
        except BusyError as error:
            headers = {"Retry-After": str(error.seconds), "Connection": "close"}
            raise HTTPException(503, str(error), headers) from None

    async def _checked(self, scope: Scope, receive: Receive, call: re.Match[str] | None) -> Receive:
        """The body again, as what it was read as here and not as another parser might read it.

        Raises:
            HTTPException: it cannot be passed on.
        """
        name = call["name"] if call else None
        # Some of the page's own calls are to `predict`, with the function's number in the body.
        if name not in (None, PAGE_CALL) and name not in self.functions:
            raise HTTPException(
                404, f"There is no function “{name[:40]}”; /gradio_api/info lists all."
            )
        body = await Request(scope, receive).body()
        if not body and _MAY_BE_EMPTY.fullmatch(scope["path"].removeprefix(PREFIX)):
            body = b"{}"
        checked = await anyio.to_thread.run_sync(self._check, body, call)
        _set_length(scope, len(checked))
        messages: list[Message] = [{"type": "http.request", "body": checked, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return again

    def _check(self, body: bytes, call: re.Match[str] | None) -> bytes:
        if has_too_many_values(body):
            raise HTTPException(413, "The request holds too many values; send fewer at once.")
        try:
            content = json.loads(body)
            if not isinstance(content, dict):
                raise ValueError("no object")
            paths = _paths_in(content)
        except (ValueError, RecursionError):
            raise HTTPException(422, _NO_JSON) from None
        number = content.get("fn_index")
        # By its type: True is an int, and equal to 1.
        if number is None and call and call["name"] == PAGE_CALL:
            raise HTTPException(404, _NOWHERE)
        if number is not None and (type(number) is not int or number not in self.functions):
            raise HTTPException(404, "There is no function of that number; reload the page.")
        for path in paths:
            if not _is_url(path):
                self._check_path(path)
        if call and call["by_name"]:
            self._check_parameters(call["name"], content)
        # Half of a surrogate pair is no text, and no answer can repeat it.
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")

    def _check_parameters(self, name: str, given: dict[str, Any]) -> None:
        """Gradio writes the names of others into its log, whatever they are."""
        known = self.parameters.get(name)
        if known is None:
            return
        missing = [
            parameter for parameter, must in known.items() if must and parameter not in given
        ]
        if missing or not given.keys() <= known.keys():
            raise HTTPException(422, f"{name} takes {', '.join(known) or 'nothing'}.")

    def _check_path(self, path: str) -> None:
        try:
            with open_inside(self.quota.folder, path, UploadError(_NO_UPLOAD)):
                pass
        except UploadError as error:
            raise HTTPException(403, str(error)) from None


def _paths_in(content: Any) -> list[str]:
    """Whatever is called `path` anywhere in it.

    Raises:
        ValueError: it is nested too deeply for any request of the page.
    """
    paths, level = [], [content]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if isinstance(value.get("path"), str):
                    paths.append(value["path"])
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        if not inner:
            return paths
        level = inner
    raise ValueError("nested too deeply")


def _is_url(path: str) -> bool:
    """Whether Gradio would fetch it; `ui.downloads` says from where."""
    return path.startswith(("http://", "https://"))


def _set_length(scope: Scope, n_bytes: int) -> None:
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    scope["headers"] = [*kept, (b"content-length", str(n_bytes).encode())]


def _without(scope: Scope, names: Collection[bytes]) -> Scope:
    if not any(name in names for name, _ in scope.get("headers", ())):
        return scope
    kept = [(name, value) for name, value in scope["headers"] if name not in names]
    return {**scope, "headers": kept}


def _never_guessing(send: Send) -> Send:
    """So that no browser takes an upload for a page because of what is in it."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            message = {**message, "headers": headers}
        await send(message)

    return sent


def _with_plain_range(scope: Scope) -> Scope:
    """Without a `Range` of a form that Gradio's parser of it does not expect."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"range" or _RANGE.fullmatch(value)
    ]
    return {**scope, "headers": headers}
