"""Work in a thread for a client that may leave before it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import anyio
import anyio.lowlevel
from fastapi import HTTPException, Request

from classifiers.errors import Cancelled

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.25
MAX_WAITING = 64  # in one line; more are told to come back rather than to wait for minutes
SECONDS_TO_COME_BACK = 10


class Line(Enum):
    """Work of one kind waits for its own kind only; the value is how much goes on at once.

    The threads that all else shares (files, the page) stay free.
    """

    ANSWERS = ("answers", 4)
    PICTURES = ("pictures", 24)  # wait in lines of their own, inside the decoder
    HEADS = ("heads", 12)  # wait in a line of their own, inside the library
    FILES = ("files", 2)


@dataclass
class _Waiting:
    places: anyio.CapacityLimiter
    inside: int = 0  # requests that compute or wait


# One a loop, since a limiter belongs to the loop it was made in.
_lines_of_loop: anyio.lowlevel.RunVar[dict[Line, _Waiting]] = anyio.lowlevel.RunVar("lines")


class ServerBusy(HTTPException):
    """The line is full."""

    def __init__(self) -> None:
        super().__init__(
            503,
            f"The server is busy; try again in {SECONDS_TO_COME_BACK} seconds.",
            {"Retry-After": str(SECONDS_TO_COME_BACK)},
        )


def _waiting_in(line: Line) -> _Waiting:
    lines = _lines_of_loop.get(None)
    if lines is None:
        lines = {each: _Waiting(anyio.CapacityLimiter(each.value[1])) for each in Line}
        _lines_of_loop.set(lines)
    return lines[line]


async def run_while_wanted(
    request: Request,
    work: Callable[[Callable[[int, int], None]], T],
    line: Line = Line.ANSWERS,
) -> T:
    """The result of `work(progress)`, computed in a thread when its turn in `line` comes.

    When the client disconnects, the next call of `progress` raises and the work ends; work
    still in line is not begun.

    Raises:
        ServerBusy: too many wait already.
    """
    waiting = _waiting_in(line)
    if waiting.inside >= line.value[1] + MAX_WAITING:
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
        waiting.inside += 1
        try:
            work_in_turn = anyio.to_thread.run_sync(when_its_turn_comes, limiter=waiting.places)
            result.append(await work_in_turn)
        except Exception as raised:
            error.append(raised)
        finally:
            waiting.inside -= 1
        tasks.cancel_scope.cancel()
    if error:
        raise error[0]
    return result[0]
