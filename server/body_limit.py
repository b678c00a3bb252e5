"""Bounds what a request may send: in bytes, in time, and in memory of all together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PICTURE_BYTES = 50_000_000
SECONDS_BETWEEN_PARTS = 30.0  # of a body that stops arriving
MAX_SECONDS = 600.0  # for a whole body: 50 MB on a slow line
MAX_BYTES_IN_MEMORY = 64_000_000  # of the bodies that are held whole, all together

TOO_LARGE = (
    f"More than {MAX_PICTURE_BYTES // 1_000_000} MB were sent; save the picture smaller "
    "and try again."
)
_TOO_SLOW = "The request stopped arriving; send it again."
_BUSY = "The server is receiving too much at once; try again in 10 seconds."

MAX_VALUES = 400_000  # in JSON, each of which takes some sixty bytes once it is read


def has_too_many_values(body: bytes) -> bool:
    """Whether JSON would take many times its own size once it is read; does not read it."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES


@dataclass(frozen=True)
class BodyBound:
    """What one kind of request may send.

    Attributes:
        sentence: for whoever sends more.
        in_memory: the whole body is held there, and not on disk.
    """

    max_bytes: int
    sentence: str
    in_memory: bool = True


def of_words(max_bytes: int) -> BodyBound:
    """For requests that hold words and no picture."""
    return BodyBound(max_bytes, f"More than {max_bytes // 1_000_000} MB of words were sent.")


OF_WORDS = of_words(5_000_000)
OF_PICTURES = BodyBound(MAX_PICTURE_BYTES + 1_000_000, TOO_LARGE, in_memory=False)


class BodyLimit:
    """ASGI middleware.

    Args:
        bounds: by the beginning of an address; the longest that fits counts.
        other: for all other addresses.
    """

    def __init__(
        self, app: ASGIApp, bounds: Mapping[str, BodyBound], other: BodyBound = OF_WORDS
    ) -> None:
        self.app = app
        self.bounds = sorted(bounds.items(), key=lambda entry: -len(entry[0]))
        self.other = other
        self._bytes_in_memory = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bound = self._bound_of(scope["path"])
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > bound.max_bytes:
            # Says that it will not read on, so that the client need not send it all.
            answer = JSONResponse({"detail": bound.sentence}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        body = _Body(self, bound, receive)
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, body.receive, noted)
        except HTTPException as error:  # from below, where no route has caught it
            if has_begun:
                raise
            answer = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
            await answer(scope, receive, send)
        finally:
            self._bytes_in_memory -= body.bytes_in_memory

    def _bound_of(self, path: str) -> BodyBound:
        fitting = (bound for start, bound in self.bounds if path.startswith(start))
        return next(fitting, self.other)

    def reserve(self, n_bytes: int) -> None:
        """
        Raises:
            HTTPException: all bodies together would take too much memory.
        """
        if self._bytes_in_memory + n_bytes > MAX_BYTES_IN_MEMORY:
            raise HTTPException(503, _BUSY, {"Connection": "close", "Retry-After": "10"})
        self._bytes_in_memory += n_bytes


class _Body:
    """One request's body while it arrives."""

    def __init__(self, limit: BodyLimit, bound: BodyBound, receive: Receive) -> None:
        self.bytes_in_memory = 0
        self._limit, self._bound, self._receive = limit, bound, receive
        self._n_bytes = 0
        self._is_whole = False
        self._last = time.monotonic() + MAX_SECONDS

    async def receive(self) -> Message:
        """
        Raises:
            HTTPException: too much, too slow, or too much at once.
        """
        if self._is_whole:  # what comes now is that the client has left
            return await self._receive()
        message = await self._in_time()
        self._is_whole = not message.get("more_body", False)
        n_bytes = len(message.get("body", b""))
        self._n_bytes += n_bytes
        if self._n_bytes > self._bound.max_bytes:
            raise HTTPException(413, self._bound.sentence, {"Connection": "close"})
        if self._bound.in_memory:
            self._limit.reserve(n_bytes)
            self.bytes_in_memory += n_bytes
        return message

    async def _in_time(self) -> Message:
        seconds = min(SECONDS_BETWEEN_PARTS, self._last - time.monotonic())
        try:
            with anyio.fail_after(seconds):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, _TOO_SLOW, {"Connection": "close"}) from None
