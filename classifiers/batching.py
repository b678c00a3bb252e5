"""Calls that come at the same time, answered together; a lone call waits for nobody.

The first caller leads: it computes what has come in so far in one batch, again and again
until its own part is done, then hands the lead on.  So a batch forms only while the model is
busy anyway, and no thread of our own is needed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Makes single calls of `compute`, which takes many items, cheap when they coincide."""

    def __init__(self, compute: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        self._compute = compute
        self._most = most  # items in one batch
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._lock = threading.Lock()  # of the queue
        self._lead = threading.Lock()  # of the model

    def __call__(self, item: Item) -> Result:
        """The result for `item`; raises what `compute` raised for its batch."""
        future: Future[Result] = Future()
        with self._lock:
            self._waiting.append((item, future))
        while not future.done():
            # Whoever holds the lead may be computing our item; then there is nothing to do.
            if self._lead.acquire(timeout=0.05):
                try:
                    if not future.done():
                        self._run_one_batch()
                finally:
                    self._lead.release()
        return future.result()

    def _run_one_batch(self) -> None:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            results = self._compute([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
