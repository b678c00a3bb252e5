"""Rows of what was tried and how it went, and the table of them.  Knows nothing of servers."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version

import psutil

from attacks import ROOT

MAX_REASONS = 3  # told of one row; the others are only counted
PACKAGES = ("gradio", "fastapi", "uvicorn", "pillow", "pillow_heif", "safetensors", "torch")
COLUMNS = ("part", "what", "count", "worst s", "MB taken", "answers", "verdict")


@dataclass
class Row:
    """One kind of attack: how often, how slow, how much memory, and what was wrong."""

    part: str
    what: str
    count: int = 0
    worst_seconds: float = 0.0
    megabytes: float | None = None
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, kind: str, seconds: float) -> None:
        """Counts one answer.  Rows are filled by several threads."""
        with self._lock:
            self.count += 1
            self.answers[kind] += 1
            self.worst_seconds = max(self.worst_seconds, seconds)

    def fail(self, reason: str, *, first: bool = False) -> None:
        """Counts a failure; `first` for one that must be among those that are told."""
        reason = " ".join(reason.split())
        with self._lock:
            self.failures.insert(0 if first else len(self.failures), reason)

    @property
    def verdict(self) -> str:
        told = "; ".join(self.failures[:MAX_REASONS])
        more = len(self.failures) - MAX_REASONS
        if more > 0:
            told += f"; and {more:,} more"
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"FAILED: {told}{notes}" if self.failures else f"ok{notes}"

    def cells(self) -> tuple[str, ...]:
        answers = ", ".join(f"{kind} {n:,}" for kind, n in sorted(self.answers.items()))
        megabytes = "" if self.megabytes is None else f"{self.megabytes:,.0f}"
        seconds = f"{self.worst_seconds:.2f}"
        return self.part, self.what, f"{self.count:,}", seconds, megabytes, answers, self.verdict


def table(rows: list[Row]) -> str:
    """The rows under each other; the verdict, which may be long, comes last."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        )
        for line in lines
    )


def machine() -> str:
    """What the figures were measured on, and of which code."""
    memory = psutil.virtual_memory().total / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}\n"
        f"{now:%Y-%m-%d %H:%M} UTC, commit {_commit()}, Python {platform.python_version()}\n"
        f"{versions}"
    )


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model na")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # a copy without git
