"""Calls that come at the same time, answered together; a lone call waits for nobody.

What has come in while the computing thread was busy is the next batch. Callers who have just
been answered together are likely to be back soon, and a batch costs less than its parts: after
one of many the thread waits a little for as many again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from classifiers.encoder.executor import COMPUTING_THREAD

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 0.1  # of the time the last batch took: what waiting for company may add to a call


class Batcher(Generic[Item, Result]):
    """Makes single calls of `compute`, which takes many items, cheap when they coincide."""

    def __init__(self, compute: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        self._compute = compute
        self._most = most  # items in one batch
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._arrival = threading.Condition()  # guards the queue
        self._is_running = False

    def __call__(self, item: Item) -> Result:
        """The result for `item`; raises what `compute` raised for its batch."""
        future: Future[Result] = Future()
        with self._arrival:
            self._waiting.append((item, future))
            if self._is_running:
                self._arrival.notify()
            else:
                self._is_running = True
                COMPUTING_THREAD.submit(self._run, company=1, patience=0)
        return future.result()

    def _run(self, company: int, patience: float) -> None:
        """A batch, and in its turn the next, until nobody has come for a while."""
        batch = self._next_batch(company, patience)
        if not batch:
            return
        begun = time.perf_counter()
        results: Sequence[Result] = ()
        error: BaseException | None = None
        try:
            results = self._compute([item for item, _ in batch])
        except BaseException as failure:
            error = failure
        patience = PATIENCE * (time.perf_counter() - begun)
        # Before anyone is answered: who calls again and again alone is no company.
        company = min(self._most, len(batch) + len(self._waiting))
        for number, (_, future) in enumerate(batch):
            if error is None:
                future.set_result(results[number])
            else:
                future.set_exception(error)
        COMPUTING_THREAD.submit(self._run, company, patience)

    def _next_batch(self, company: int, patience: float) -> list[tuple[Item, Future[Result]]]:
        """What waits, once it is as many as `company` or `patience` seconds are over."""
        with self._arrival:
            if company > 1:
                self._arrival.wait_for(lambda: len(self._waiting) >= company, patience)
            self._is_running = bool(self._waiting)
            return [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
