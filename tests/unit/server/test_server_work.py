"""Work for a client that may leave: what is begun stops, what waits is never begun."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import Request

from classifiers import Encoder
from classifiers.errors import Cancelled
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore
from server.work import MAX_WAITING, Line, ServerBusy, run_while_wanted

AT_ONCE = Line.ANSWERS.value[1]  # the line of whoever names none


def request_of(left: anyio.Event) -> Request:
    """A request whose client disconnects once `left` is set."""

    async def receive() -> dict[str, Any]:
        if not left.is_set():  # as uvicorn: what is known is said without a pause
            await left.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "headers": []}, receive)


def test_a_head_whose_client_left_is_encoded_no_further(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls, n_wanted = 0, 40
    encode = encoder.encode_texts

    def counted(*arguments: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        time.sleep(0.05)
        return encode(*arguments)

    monkeypatch.setattr(encoder, "encode_texts", counted)
    library = HeadLibrary(encoder, HeadStore(tmp_path))
    templates = [f"a {{}} of kind {n}" for n in range(n_wanted)]  # a call each

    async def leave_soon() -> None:
        left = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_after, 0.3, left)
            await run_while_wanted(
                request_of(left), lambda p: library.create("", templates, ["cat", "dog"], p)
            )

    with pytest.raises(BaseException) as caught:
        anyio.run(leave_soon)
    assert isinstance(_innermost(caught.value), Cancelled)
    assert 0 < n_calls < n_wanted
    assert not list(tmp_path.iterdir()), "half a head was kept"


def test_work_in_line_is_not_begun_for_a_client_who_left() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(n: int) -> int:
        begun.append(n)
        go_on.wait(20)
        return n

    async def ask(n: int, left: anyio.Event) -> None:
        try:
            await run_while_wanted(request_of(left), lambda _: work(n))
        except Cancelled:
            assert left.is_set()

    async def crowd() -> None:
        stays, leaves = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            for n in range(AT_ONCE):
                tasks.start_soon(ask, n, stays)
            await anyio.sleep(0.2)
            for n in range(AT_ONCE, 3 * AT_ONCE):
                tasks.start_soon(ask, n, leaves)
            await anyio.sleep(0.2)
            leaves.set()
            await anyio.sleep(0.6)  # longer than it takes to notice
            go_on.set()

    anyio.run(crowd)
    assert sorted(begun) == list(range(AT_ONCE))


def test_who_finds_the_line_full_is_told_at_once() -> None:
    go_on = threading.Event()
    refused: list[ServerBusy] = []

    async def ask(_: int) -> None:
        try:
            await run_while_wanted(request_of(anyio.Event()), lambda _: go_on.wait(20))
        except ServerBusy as busy:
            refused.append(busy)

    async def crowd() -> None:
        async with anyio.create_task_group() as tasks:
            for n in range(AT_ONCE + MAX_WAITING + 3):
                tasks.start_soon(ask, n)
            await anyio.sleep(0.5)
            n_refused = len(refused)
            go_on.set()
        assert n_refused == len(refused) == 3

    anyio.run(crowd)
    assert refused[0].headers and int(refused[0].headers["Retry-After"]) > 0


def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    async def fail() -> None:
        await run_while_wanted(request_of(anyio.Event()), lambda _: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        anyio.run(fail)


async def _after(seconds: float, event: anyio.Event) -> None:
    await anyio.sleep(seconds)
    event.set()


def _innermost(error: BaseException) -> BaseException:
    while getattr(error, "exceptions", None):
        error = error.exceptions[0]  # type: ignore[attr-defined]
    return error
