"""The page's functions as tools of an assistant (MCP), asked within bounds of time."""

from __future__ import annotations

import time
from typing import Any

import anyio
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from attacks.client import Answer
from attacks.server import Server


def call_tools(
    server: Server, calls: list[tuple[str, dict[str, Any]]], *, seconds: float
) -> list[Answer]:
    """Calls tools one after the other, each in a session of its own."""
    return [anyio.run(_call, server, tool, arguments, seconds) for tool, arguments in calls]


async def _call(server: Server, tool: str, arguments: dict[str, Any], seconds: float) -> Answer:
    begun = time.monotonic()
    url = f"{server.url}/gradio_api/mcp/"
    try:
        with anyio.fail_after(seconds):
            async with (
                streamablehttp_client(url) as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                result = await session.call_tool(tool, arguments)
                text = " ".join(getattr(part, "text", "") for part in result.content)
                kind = "page sentence" if result.isError else "page ok"
                return Answer(kind, time.monotonic() - begun, text)
    except TimeoutError:
        return Answer("hangs", time.monotonic() - begun)
    except Exception as error:  # a group of whatever the client's tasks met
        return Answer("closed", time.monotonic() - begun, repr(error)[:300])
