"""A line before something that few may use at once: in order, bounded, left in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from classifiers.errors import BusyError, Cancelled
from classifiers.waiting_line import WaitingLine

SECONDS = 20  # longer than any of this takes on a busy machine


def until(happened: Callable[[], bool], *running: Future[None]) -> None:
    """Waits for what a thread does, and fails with that thread instead of for ever."""
    while not happened():
        for future in running:
            if future.done():
                future.result()
                pytest.fail("it did not wait")


def test_only_so_many_are_inside_and_who_comes_first_goes_first() -> None:
    line = WaitingLine("pictures", places=1, max_waiting=9, max_seconds=SECONDS)
    order: list[int] = []

    def visit(n: int) -> None:
        with line.turn():
            assert line._inside == 1
            order.append(n)

    with ThreadPoolExecutor(5) as pool:
        with line.turn():
            running = []
            for n in range(5):
                running.append(pool.submit(visit, n))
                until(lambda n=n: len(line._tickets) == n + 1, *running)  # type: ignore[misc]
            assert order == []
        for future in running:
            future.result(SECONDS)
    assert order == [0, 1, 2, 3, 4]
    assert line._inside == 0 and line._tickets == []


def test_who_finds_the_line_full_is_told_at_once() -> None:
    line = WaitingLine("large pictures", places=1, max_waiting=1, max_seconds=SECONDS)
    with ThreadPoolExecutor(1) as pool:
        with line.turn():
            waiting = pool.submit(lambda: line.turn().__enter__())
            until(lambda: len(line._tickets) == 1, waiting)
            with pytest.raises(BusyError, match="busy with large pictures; try again") as caught:
                line.turn().__enter__()
            assert caught.value.seconds > 0
        waiting.result(SECONDS)


def test_a_line_without_waiting_still_has_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    line = WaitingLine("pictures", places=2, max_waiting=0, max_seconds=SECONDS)
    monkeypatch.setattr(line._changed, "wait", lambda _: pytest.fail("it waited"))
    with line.turn(), line.turn(), pytest.raises(BusyError):
        line.turn().__enter__()
    with line.turn(), line.turn():
        assert line._inside == 2


def test_nobody_waits_for_longer_than_the_bound() -> None:
    line = WaitingLine("pictures", places=1, max_waiting=5, max_seconds=0)
    with line.turn():
        with pytest.raises(BusyError):
            line.turn().__enter__()
        assert line._tickets == [], "a ticket of who has gone would keep all others waiting"
    with line.turn():
        pass


def test_who_has_left_does_not_keep_others_waiting() -> None:
    line = WaitingLine("pictures", places=1, max_waiting=5, max_seconds=SECONDS)
    left = threading.Event()

    def still_wanted() -> None:
        if left.is_set():
            raise Cancelled("The client has left.")

    with ThreadPoolExecutor(2) as pool:
        with line.turn():
            leaves = pool.submit(lambda: line.turn(still_wanted).__enter__())
            until(lambda: len(line._tickets) == 1, leaves)
            left.set()
            with pytest.raises(Cancelled):
                leaves.result(SECONDS)
            assert line._tickets == []
        with line.turn():
            pass


def test_an_error_inside_gives_the_place_back() -> None:
    line = WaitingLine("pictures", places=1, max_waiting=0, max_seconds=SECONDS)
    with pytest.raises(RuntimeError), line.turn():
        raise RuntimeError
    with line.turn():
        pass
