"""What a request may send: its size, all sizes together, and how slowly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from server import app, body_limit
from server.body_limit import OF_PICTURES, OF_WORDS, BodyBound, BodyLimit

OK, TOO_SLOW, TOO_LARGE, BUSY = 200, 408, 413, 503

SMALL = BodyBound(1_000, "More than 1 kB was sent.")
ON_DISK = BodyBound(2_000, "More than 2 kB were sent.", in_memory=False)


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await JSONResponse({"n_bytes": len(body)})(scope, receive, send)


@pytest.fixture
def limit() -> BodyLimit:
    return BodyLimit(behind, {"/small": SMALL, "/small/disk": ON_DISK}, other=SMALL)


@pytest.fixture
def client(limit: BodyLimit) -> TestClient:
    return TestClient(limit)


def parts(n_bytes: int, each: int = 100) -> Iterator[bytes]:
    for _ in range(n_bytes // each):
        yield bytes(each)


def test_what_fits_is_passed_on_whole(client: TestClient, limit: BodyLimit) -> None:
    for content in (b"", bytes(1_000), parts(1_000)):
        assert client.post("/small", content=content).status_code == OK
    assert client.post("/small", content=bytes(1_000)).json() == {"n_bytes": 1_000}
    assert limit._bytes_in_memory == 0


def test_what_is_announced_too_large_is_not_read(limit: BodyLimit) -> None:
    async def never() -> Message:
        pytest.fail("the body was read")

    answers = sent_by(limit, never, headers=[(b"content-length", b"1001")])
    assert answers[0]["status"] == TOO_LARGE
    assert (b"connection", b"close") in answers[0]["headers"], "the client would go on sending"


def test_what_turns_out_too_large_is_read_no_further(client: TestClient, limit: BodyLimit) -> None:
    n_sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal n_sent
        while n_sent < 1_000_000:
            n_sent += 100
            yield bytes(100)

    taken: list[int] = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted() -> Message:
            message = await receive()
            taken.append(len(message.get("body", b"")))
            return message

        await behind(scope, counted, send)

    limit.app = counting
    response = client.post("/small", content=endless())
    assert response.status_code == TOO_LARGE and response.json()["detail"] == SMALL.sentence
    assert sum(taken) <= SMALL.max_bytes
    assert limit._bytes_in_memory == 0


def test_the_longest_beginning_of_an_address_counts(client: TestClient) -> None:
    assert client.post("/small/disk", content=bytes(2_000)).status_code == OK
    assert client.post("/small/disk", content=bytes(2_001)).status_code == TOO_LARGE
    assert client.post("/small/other", content=bytes(1_001)).status_code == TOO_LARGE
    assert client.post("/elsewhere", content=bytes(1_001)).status_code == TOO_LARGE


def test_all_bodies_together_are_bounded_and_what_they_held_is_given_back(
    limit: BodyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bodies arrive and wait for their ends; there is no room for a third."""
    monkeypatch.setattr(body_limit, "MAX_BYTES_IN_MEMORY", 1_800)

    async def crowd() -> list[list[Message]]:
        end, begun = anyio.Event(), 0
        ready = anyio.Event()
        answers: list[list[Message]] = [[], []]

        def client(into: list[Message]) -> Callable[[], Awaitable[None]]:
            messages: list[Message] = [
                {"type": "http.request", "body": b"", "more_body": False},
                {"type": "http.request", "body": bytes(900), "more_body": True},
            ]

            async def receive() -> Message:
                nonlocal begun
                if len(messages) == 1:
                    begun += 1
                    if begun == 2:
                        ready.set()
                    await end.wait()
                return messages.pop()

            async def send(message: Message) -> None:
                into.append(message)

            return lambda: limit(scope_of("/small"), receive, send)

        third: list[Message] = []
        async with anyio.create_task_group() as tasks:
            for answer in answers:
                tasks.start_soon(client(answer))
            await ready.wait()
            assert limit._bytes_in_memory == 1_800

            async def one_part() -> Message:
                return {"type": "http.request", "body": b"x", "more_body": False}

            async def keep(message: Message) -> None:
                third.append(message)

            await limit(scope_of("/small"), one_part, keep)
            on_disk: list[Message] = []

            async def keep_other(message: Message) -> None:
                on_disk.append(message)

            await limit(scope_of("/small/disk"), one_part, keep_other)
            assert on_disk[0]["status"] == OK, "what goes to disk takes no memory"
            end.set()
        assert [answer[0]["status"] for answer in answers] == [OK, OK]
        return [third]

    (third,) = anyio.run(crowd)
    assert third[0]["status"] == BUSY
    assert (b"retry-after", b"10") in third[0]["headers"]
    assert limit._bytes_in_memory == 0


def test_what_an_application_that_fails_held_is_given_back(limit: BodyLimit) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        raise RuntimeError("a defect")

    limit.app = fails
    with pytest.raises(RuntimeError):
        TestClient(limit).post("/small", content=bytes(900))
    assert limit._bytes_in_memory == 0


def test_a_body_that_stops_arriving_is_given_up(
    limit: BodyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "SECONDS_BETWEEN_PARTS", 0.05)
    n_calls = 0

    async def stalls() -> Message:
        nonlocal n_calls
        n_calls += 1
        if n_calls > 1:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": b"x", "more_body": True}

    answers = sent_by(limit, stalls)
    assert answers[0]["status"] == TOO_SLOW
    assert limit._bytes_in_memory == 0


def test_a_body_that_trickles_for_ever_is_given_up(
    limit: BodyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "MAX_SECONDS", 0.2)

    async def trickles() -> Message:
        await anyio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    assert sent_by(limit, trickles)[0]["status"] == TOO_SLOW


def test_waiting_for_an_answer_is_not_bounded(
    limit: BodyLimit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who listens whether the client has left listens for as long as an answer takes."""
    monkeypatch.setattr(body_limit, "SECONDS_BETWEEN_PARTS", 0.02)
    messages = [{"type": "http.request", "body": b"x", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await anyio.sleep(0.1)  # five times the bound
        return {"type": "http.disconnect"}

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await JSONResponse({})(scope, receive, send)

    limit.app = listening
    assert sent_by(limit, receive)[0]["status"] == OK


def test_an_answer_that_has_begun_is_not_begun_again(limit: BodyLimit) -> None:
    async def answers_first(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": OK, "headers": []})
        await Request(scope, receive).body()

    limit.app = answers_first
    with pytest.raises(Exception, match="1 kB"):
        TestClient(limit).post("/small", content=parts(2_000))


def test_each_kind_of_request_has_the_bound_it_needs() -> None:
    limit = BodyLimit(behind, app._BOUNDS)
    bounds = {
        address: limit._bound_of(address)
        for address in (
            "/api/v1/classify",
            "/api/v1/heads",
            "/gradio_api/upload",
            "/gradio_api/queue/join",
            "/gradio_api/mcp/",
            "/gradio_api/cancel",
            "/gradio_api/reset",
            "/",
        )
    }
    assert bounds["/api/v1/classify"] is OF_PICTURES and not OF_PICTURES.in_memory
    assert bounds["/api/v1/heads"] is bounds["/"] is OF_WORDS and OF_WORDS.in_memory
    assert not bounds["/gradio_api/upload"].in_memory
    of_page = bounds["/gradio_api/queue/join"]
    of_assistants = bounds["/gradio_api/mcp/"]
    assert of_assistants.in_memory and of_page.in_memory
    assert bounds["/gradio_api/cancel"].max_bytes == bounds["/gradio_api/reset"].max_bytes == 10_000
    # The figures a visitor is told; 1 MB more than a picture, for the form around it.
    assert OF_PICTURES.max_bytes == bounds["/gradio_api/upload"].max_bytes == 51_000_000
    assert (of_page.max_bytes, OF_WORDS.max_bytes) == (6_000_000, 5_000_000)
    assert of_assistants.max_bytes == 24_000_000


def scope_of(path: str, headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": headers or []}


def sent_by(
    limit: BodyLimit,
    receive: Receive,
    path: str = "/small",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> list[Message]:
    """What the server answers to a client that sends what `receive` gives."""
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    async def ask() -> None:
        with anyio.fail_after(20):
            await limit(scope_of(path, headers), receive, send)

    anyio.run(ask)
    return answers
