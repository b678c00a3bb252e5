"""The page's functions as tools of an assistant, asked by the official MCP client."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from browser.running_app import RunningApp, running_app
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import CallToolResult, Tool

Ask = Callable[[ClientSession], Awaitable[Any]]


@pytest.fixture(scope="module")
def assistant(app: RunningApp) -> Callable[[Ask], Any]:
    """`assistant(ask)`: what `ask(session)` answers, in a session of its own."""

    async def connect(ask: Ask) -> Any:
        async with (
            streamablehttp_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await ask(session)

    return lambda ask: anyio.run(connect, ask)


@pytest.fixture
def call(assistant: Callable[[Ask], Any]) -> Callable[..., CallToolResult]:
    return lambda tool, **arguments: assistant(lambda s: s.call_tool(tool, arguments))


def text_of(result: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


def as_data_url(photo: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(photo.read_bytes()).decode()


def test_an_assistant_reads_how_to_use_each_tool(assistant: Callable[[Ask], Any]) -> None:
    tools: dict[str, Tool] = {t.name: t for t in assistant(lambda s: s.list_tools()).tools}
    assert set(tools) == {
        "classify",
        "create_classifier",
        "export_classifier",
        "import_head",
        "list_classifiers",
    }
    for tool in tools.values():
        assert len(tool.description or "") > 60, f"{tool.name} says too little of itself"
        for name, argument in tool.inputSchema["properties"].items():
            assert argument.get("description"), f"{tool.name} does not say what {name} is"
    assert set(tools["classify"].inputSchema["required"]) == {"image", "classifier"}
    assert "list_classifiers" in (tools["classify"].description or "")
    assert "{}" in json.dumps(tools["create_classifier"].inputSchema)


def test_an_assistant_lists_creates_and_classifies(
    call: Callable[..., CallToolResult], photo: Path
) -> None:
    listed = call("list_classifiers")
    assert not listed.isError and "cat_breeds" in text_of(listed)
    made = call("create_classifier", name="Pets", template="a {}", classes="cat, dog, goldfish")
    assert not made.isError, text_of(made)
    (classifier,) = re.findall(r"\b[0-9a-f]{32}\b", text_of(made))
    for wanted in (classifier, "ages"):
        answer = call("classify", image=as_data_url(photo), classifier=wanted)
        assert not answer.isError, text_of(answer)
        assert "confidence" in text_of(answer)
    assert "goldfish" in text_of(call("classify", image=as_data_url(photo), classifier=classifier))


def test_a_mistake_of_an_assistant_is_told_in_words(
    call: Callable[..., CallToolResult], photo: Path
) -> None:
    wrong = call("classify", image=as_data_url(photo), classifier="no-such-set")
    assert wrong.isError and "no classifier" in text_of(wrong)
    wrong = call("create_classifier", name="", template="no place", classes="a, b")
    assert wrong.isError and "{}" in text_of(wrong)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1"])
def test_a_url_of_a_private_address_is_not_fetched(
    call: Callable[..., CallToolResult], app: RunningApp, host: str
) -> None:
    port = app.url.rpartition(":")[2]
    image = f"http://{host}:{port}/static/img/logo.svg"
    answer = call("classify", image=image, classifier="ages")
    assert answer.isError
    assert "confidence" not in text_of(answer) and "SVG" not in text_of(answer), "it was fetched"


def test_a_file_of_the_server_is_not_read(call: Callable[..., CallToolResult]) -> None:
    for image in ("/etc/passwd", "file:///etc/passwd", "app.py"):
        answer = call("classify", image=image, classifier="ages")
        assert answer.isError and "root:" not in text_of(answer)


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Host"])
def test_a_client_cannot_say_where_the_calls_of_assistants_go(
    tiny_model: str, tmp_path: Path, header: str
) -> None:
    """Gradio would ask the host of the first call for ever after, with everybody's words."""
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_classifiers", "arguments": {}},
    }
    with (
        running_app(tmp_path / "app", tiny_model) as served,
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
    ):
        elsewhere.settimeout(0)
        response = httpx.post(
            f"{served.url}/gradio_api/mcp/",
            json=request,
            headers={
                header: f"127.0.0.1:{elsewhere.getsockname()[1]}",
                "Accept": "application/json, text/event-stream",
            },
            timeout=60,
        )
        assert "cat_breeds" in response.text, response.text
        with pytest.raises(BlockingIOError):  # nobody knocked
            elsewhere.accept()
