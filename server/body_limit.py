"""Refuses a request body that is too large while it arrives, before it fills the disk."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PICTURE_BYTES = 50_000_000
MAX_BODY_BYTES = MAX_PICTURE_BYTES + 1_000_000  # with the other fields of its form

TOO_LARGE = (
    f"More than {MAX_PICTURE_BYTES // 1_000_000} MB were sent; save the picture smaller "
    "and try again."
)


class BodyLimit:
    """ASGI middleware for the addresses under `prefix`; the page has limits of its own."""

    def __init__(self, app: ASGIApp, prefix: str, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.prefix = prefix
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self.max_bytes:
            # Says that it will not read on, so that the client need not send it all.
            answer = JSONResponse({"detail": TOO_LARGE}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self.max_bytes:
                raise HTTPException(413, TOO_LARGE, {"Connection": "close"})
            return message

        await self.app(scope, counted, send)
