"""Calls that coincide are answered together, each with its own result."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from classifiers.encoder import batching
from classifiers.encoder.batching import Batcher
from classifiers.encoder.executor import COMPUTING_THREAD, compute


def test_a_lone_call_is_answered_alone() -> None:
    batches: list[int] = []

    def square(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        return [item * item for item in items]

    assert Batcher(square, most=8)(3) == 9
    assert batches == [1]


def test_calls_that_come_while_one_is_busy_share_a_batch_and_keep_their_results() -> None:
    busy, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def slow_square(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        busy.set()
        assert go_on.wait(10)
        return [item * item for item in items]

    batcher = Batcher(slow_square, most=8)
    with ThreadPoolExecutor(13) as clients:
        first = clients.submit(batcher, 100)
        assert busy.wait(10)
        others = [clients.submit(batcher, item) for item in range(12)]
        while len(batcher._waiting) < 12:  # all of them are in line
            threading.Event().wait(0.01)
        go_on.set()
        assert first.result(10) == 10_000
        assert [other.result(10) for other in others] == [item * item for item in range(12)]
    assert batches[0] == [100]
    assert [len(batch) for batch in batches[1:]] == [8, 4], "at most eight in a batch"


def test_an_error_reaches_all_of_its_batch_and_nobody_else() -> None:
    def fail_on_seven(items: Sequence[int]) -> Sequence[int]:
        if 7 in items:
            raise ValueError("seven")
        return items

    batcher = Batcher(fail_on_seven, most=1)
    with pytest.raises(ValueError, match="seven"):
        batcher(7)
    assert batcher(8) == 8


def test_after_a_batch_of_many_the_next_waits_for_as_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 50)  # times 0.02 seconds
    busy, go_on = threading.Event(), threading.Event()
    batches: list[int] = []

    def compute(items: Sequence[int]) -> Sequence[int]:
        busy.set()
        assert go_on.wait(10)
        batches.append(len(items))
        time.sleep(0.02)
        return items

    batcher = Batcher(compute, most=8)
    with ThreadPoolExecutor(6) as clients:
        visits = [clients.submit(lambda: (batcher(1), batcher(2)))]
        assert busy.wait(10)
        visits += [clients.submit(lambda: (batcher(1), batcher(2))) for _ in range(5)]
        while len(batcher._waiting) < 5:
            threading.Event().wait(0.01)
        go_on.set()
        assert [visit.result(20) for visit in visits] == [(1, 2)] * 6
    assert batches == [1, 6, 5], "the first came back and was waited for"


def test_other_work_has_its_turn_between_two_batches() -> None:
    busy, go_on = threading.Event(), threading.Event()
    done: list[int | str] = []

    def slowly(items: Sequence[int]) -> Sequence[int]:
        busy.set()
        assert go_on.wait(10)
        done.extend(items)
        return items

    batcher = Batcher(slowly, most=1)
    with ThreadPoolExecutor(3) as callers:
        first = callers.submit(batcher, 1)
        assert busy.wait(10)
        second = callers.submit(batcher, 2)
        other = callers.submit(compute, done.append, "other")
        while not (batcher._waiting and COMPUTING_THREAD._work_queue.qsize()):
            threading.Event().wait(0.01)
        go_on.set()
        for call in (first, second, other):
            call.result(10)
    assert done == [1, "other", 2]


def test_lone_calls_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 1e9)
    batcher: Batcher[int, int] = Batcher(lambda items: items, most=8)
    assert [batcher(item) for item in range(5)] == list(range(5))
