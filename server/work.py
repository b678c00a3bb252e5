"""Work in a thread for a client that may leave before it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.lowlevel
from fastapi import HTTPException, Request

from classifiers.errors import Cancelled

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.25
AT_ONCE = 4  # requests that compute at the same time; more wait in line
MAX_WAITING = 64  # in line; more are told to come back rather than to wait for minutes
SECONDS_TO_COME_BACK = 10


@dataclass
class _Line:
    """A line of its own: the threads that all else shares (files, the page) stay free."""

    places: anyio.CapacityLimiter
    inside: int = 0  # requests that compute or wait


# One a loop, since a limiter belongs to the loop it was made in.
_line_of_loop: anyio.lowlevel.RunVar[_Line] = anyio.lowlevel.RunVar("line")


class ServerBusy(HTTPException):
    """The line is full."""

    def __init__(self) -> None:
        super().__init__(
            503,
            f"The server is busy; try again in {SECONDS_TO_COME_BACK} seconds.",
            {"Retry-After": str(SECONDS_TO_COME_BACK)},
        )


def _line() -> _Line:
    line = _line_of_loop.get(None)
    if line is None:
        line = _Line(anyio.CapacityLimiter(AT_ONCE))
        _line_of_loop.set(line)
    return line


async def run_while_wanted(request: Request, work: Callable[[Callable[[int, int], None]], T]) -> T:
    """The result of `work(progress)`, computed in a thread.

    When the client disconnects, the next call of `progress` raises and the work ends; work
    still in line is not begun.

    Raises:
        ServerBusy: too many wait already.
    """
    line = _line()
    if line.inside >= AT_ONCE + MAX_WAITING:
        raise ServerBusy
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
        line.inside += 1
        try:
            work_in_turn = anyio.to_thread.run_sync(when_its_turn_comes, limiter=line.places)
            result.append(await work_in_turn)
        except Exception as raised:
            error.append(raised)
        finally:
            line.inside -= 1
        tasks.cancel_scope.cancel()
    if error:
        raise error[0]
    return result[0]
