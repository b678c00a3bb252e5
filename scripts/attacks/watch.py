"""What is watched while something heavy runs: the server's memory, and an ordinary visitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import gradio

from attacks.client import Answer, classify, get
from attacks.server import Server, tree_megabytes

SECONDS_BETWEEN_SAMPLES = 0.05
SECONDS_BETWEEN_PROBES = 0.5
MAX_MEGABYTES = 9_000  # of the whole server; beyond this it is killed before the machine suffers
PROBE_TIMEOUT = 20.0

PHOTO = Path(gradio.__file__).parent / "media_assets" / "images" / "lion.jpg"


class _Thread:
    """Calls `_step` again and again, in a thread, while the `with` block runs."""

    def __init__(self, seconds_between: float) -> None:
        self._seconds_between = seconds_between
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _step(self) -> None:
        raise NotImplementedError

    def _loop(self) -> None:
        while not self._ended.is_set():
            self._step()
            self._ended.wait(self._seconds_between)

    def __enter__(self):  # type: ignore[no-untyped-def]  # Self is of Python 3.11
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=PROBE_TIMEOUT + 5)


class MemorySampler(_Thread):
    """Resident memory of a process and its children, every 50 ms, as MB.

    Attributes:
        before: when the block began.
        peak: the most since.
        killed: the process took so much that it was ended.
    """

    def __init__(self, pid: int, kill: Callable[[], None] | None = None) -> None:
        super().__init__(SECONDS_BETWEEN_SAMPLES)
        self._pid, self._kill = pid, kill
        self.before = self.peak = tree_megabytes(pid)
        self.killed = False

    @property
    def taken(self) -> float:
        return self.peak - self.before

    def _step(self) -> None:
        now = tree_megabytes(self._pid)
        self.peak = max(self.peak, now)
        if now > MAX_MEGABYTES and self._kill and not self.killed:
            self.killed = True
            self._kill()


class Probe(_Thread):
    """A visitor who classifies a photograph, or a load balancer that asks after the health.

    Attributes:
        worst: seconds of the slowest answer; one that has not come counts as it stands.
        errors: what was answered instead of 200.  503 is an answer: come back later.
    """

    def __init__(self, ask: Callable[[], Answer], most_seconds: float, name: str) -> None:
        super().__init__(SECONDS_BETWEEN_PROBES)
        self._ask, self.most_seconds, self.name = ask, most_seconds, name
        self._asked_at: float | None = None
        self._worst = 0.0
        self.count = 0
        self.errors: list[str] = []

    @property
    def worst(self) -> float:
        waiting = time.monotonic() - self._asked_at if self._asked_at is not None else 0.0
        return max(self._worst, waiting)

    def failures(self) -> list[str]:
        found = [f"{self.name} was answered: {error}" for error in self.errors[:2]]
        if self.worst > self.most_seconds:
            found.insert(0, f"{self.name} waited {self.worst:.1f} s")
        return found

    def _step(self) -> None:
        self._asked_at = time.monotonic()
        answer = self._ask()
        self._asked_at = None
        self._worst = max(self._worst, answer.seconds)
        self.count += 1
        if answer.kind not in ("2xx", "503"):
            self.errors.append(f"{answer.kind} {answer.text[:80]}")


def health_probe(server: Server, most_seconds: float) -> Probe:
    def ask() -> Answer:
        return get(server, "/api/v1/healthz", seconds=PROBE_TIMEOUT)

    return Probe(ask, most_seconds, "healthz")


def visitor_probe(server: Server, most_seconds: float) -> Probe:
    photo = PHOTO.read_bytes()
    return Probe(
        lambda: classify(server, photo, seconds=PROBE_TIMEOUT), most_seconds, "an ordinary photo"
    )
