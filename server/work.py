"""Work in a thread for a client that may leave before it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.lowlevel
from fastapi import Request

from classifiers.errors import Cancelled

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.25
_AT_ONCE = 4  # requests that compute at the same time; more wait in line

# A line of its own: the threads that all else shares (files, the page) stay free.  One a
# loop, since a limiter belongs to the loop it was made in.
_places: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("places")


def _line() -> anyio.CapacityLimiter:
    limiter = _places.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(_AT_ONCE)
        _places.set(limiter)
    return limiter


async def run_while_wanted(request: Request, work: Callable[[Callable[[int, int], None]], T]) -> T:
    """The result of `work(progress)`, computed in a thread.

    When the client disconnects, the next call of `progress` raises and the work ends; work
    still in line is not begun.
    """
    left = threading.Event()

    def progress(_done: int, _total: int) -> None:
        if left.is_set():
            raise Cancelled("The client has left.")

    def when_its_turn_comes() -> T:
        progress(0, 0)
        return work(progress)

    # An error of the work is raised behind the group, which would wrap it in another.
    result: list[T] = []
    error: list[Exception] = []
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while not await request.is_disconnected():
                await anyio.sleep(SECONDS_BETWEEN_LOOKS)
            left.set()

        tasks.start_soon(watch)
        try:
            result.append(await anyio.to_thread.run_sync(when_its_turn_comes, limiter=_line()))
        except Exception as raised:
            error.append(raised)
        tasks.cancel_scope.cancel()
    if error:
        raise error[0]
    return result[0]
