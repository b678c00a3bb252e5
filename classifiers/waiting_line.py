"""A line before something that only some may use at once: bounded, and left again in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from classifiers.errors import BusyError

SECONDS_BETWEEN_CHECKS = 0.25  # whether whoever waits is still there


class WaitingLine:
    """At most `places` are inside at once, and `max_waiting` wait, `max_seconds` at most.

    Args:
        what: what is waited for, in the plural, for the sentence of a refusal: `large pictures`.
    """

    def __init__(self, what: str, places: int, max_waiting: int, max_seconds: float) -> None:
        self.what = what
        self.places = places
        self.max_waiting = max_waiting
        self.max_seconds = max_seconds
        self._inside = 0
        self._tickets: list[object] = []  # of those who wait, the first come first
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, still_wanted: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Waits for a place and keeps it for the body.

        Args:
            still_wanted: called while waiting; what it raises ends the wait.

        Raises:
            BusyError: the line is full, or no place was free in time.
        """
        self._enter(still_wanted)
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def _enter(self, still_wanted: Callable[[], None]) -> None:
        ticket, deadline = object(), time.monotonic() + self.max_seconds
        with self._changed:
            if len(self._tickets) >= self.max_waiting + self.places - self._inside:
                raise BusyError(self.what)
            self._tickets.append(ticket)
        try:
            while True:
                with self._changed:
                    if self._tickets[0] is ticket and self._inside < self.places:
                        self._inside += 1
                        return
                    if time.monotonic() >= deadline:
                        raise BusyError(self.what)
                    self._changed.wait(SECONDS_BETWEEN_CHECKS)
                still_wanted()
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()
