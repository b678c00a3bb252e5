"""Medians by torch.utils.benchmark, and what is made of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch.utils.benchmark import Measurement, Timer

N_THREADS = 2


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what, against: our work and the peer's.
        ours, peers: in `unit`.
        ratio: the figure that has a target, for instance how many times faster.
        target: what `ratio` should reach, with its sense (`>=` or `<=`); "" for none.
    """

    what: str
    against: str
    ours: float
    peers: float | None
    unit: str
    ratio: float
    target: str
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """None where there is no target."""
        if not self.target:
            return None
        sense, bound = self.target[:2], float(self.target[2:])
        return self.ratio >= bound if sense == ">=" else self.ratio <= bound

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}


def median_seconds(work: Callable[[], Any]) -> float:
    """Median seconds of one call, over a second of calls, after a first one."""
    return medians_by_turns(work, rounds=1)[0]


def medians_by_turns(
    *works: Callable[[], Any], at_least: float = 1.0, rounds: int = 5
) -> tuple[float, ...]:
    """Median seconds of each, taken by turns: a machine that slows down slows all of them."""
    timers = [Timer("work()", globals={"work": work}, num_threads=N_THREADS) for work in works]
    taken: list[list[Measurement]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(rounds):
        for timer, blocks in zip(timers, taken, strict=True):
            blocks.append(timer.blocked_autorange(min_run_time=at_least / rounds))
    return tuple(Measurement.merge(blocks)[0].median for blocks in taken)


def once_seconds(work: Callable[[], Any]) -> float:
    """Seconds of the first call, which Timer would spend on warming up."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_new_process(code: str, *arguments: str) -> str:
    """What `code` prints when a fresh interpreter runs it."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return result.stdout.strip().splitlines()[-1]
