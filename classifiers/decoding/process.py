"""Processes that decode pictures: started ahead, held to their time, replaced when they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from classifiers.decoding.worker import Channel
from classifiers.errors import BusyError
from classifiers.waiting_line import WaitingLine

WALL_FACTOR = 4  # how much longer a process may live that gets little of a processor

_SECONDS_BETWEEN_CHECKS = 0.05
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")
_ROOT = Path(__file__).resolve().parents[2]


class TooSlow(Exception):
    """The picture took more than its time; its process was ended."""


class Crashed(Exception):
    """The picture ended its process."""


class DecodingProcess:
    """A `worker`, for one picture at a time.

    Attributes:
        is_free: no picture is being decoded, so that another may be begun.
    """

    def __init__(self, niceness: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "classifiers.decoding.worker", str(theirs.fileno()),
                 str(niceness)],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # One heap: each further one would set 64 MB of addresses aside.
                env={**_needed_environment(), "MALLOC_ARENA_MAX": "1"},
                start_new_session=True,  # so that Ctrl-C is the server's alone
            )  # fmt: skip
        ours.settimeout(_SECONDS_BETWEEN_CHECKS)
        self._channel = Channel(ours)
        self._measured = psutil.Process(self._process.pid)
        self.is_free = True

    def begin(self, request: dict[str, Any], file: int, seconds: float) -> None:
        """Hands over the open `file`, which may take `seconds` of computing."""
        self.is_free = False
        self._seconds, self._seconds_before = seconds, self._seconds_computed()
        self._send(request, file)

    def go_on(self, max_bytes: int) -> None:
        """Has the process decode in at most so much memory, as an answer to what it needs."""
        self._send({"go": True, "max_bytes": max_bytes})

    def leave_it(self) -> None:
        """Has the process go on to its next picture."""
        self._send({"go": False})
        self.is_free = True

    def receive(self) -> tuple[dict[str, Any], int | None]:
        """The next message, and the file that comes with it, which is the caller's to close.

        Raises:
            TooSlow, Crashed: and the process is gone.
        """
        last = time.monotonic() + WALL_FACTOR * self._seconds
        while True:
            try:
                message, file = self._channel.receive()
            except TimeoutError:
                used = self._seconds_computed() - self._seconds_before
                if used > self._seconds or time.monotonic() > last:
                    raise TooSlow from None
            except (EOFError, ConnectionError):
                raise Crashed from None
            else:
                self.is_free = "needed" not in message
                return message, file

    def end(self) -> None:
        self.is_free = False
        self._channel.connection.close()
        self._process.kill()
        self._process.wait()

    def _send(self, message: dict[str, Any], file: int | None = None) -> None:
        try:
            self._channel.send(message, file)
        except OSError:  # it was killed from outside, for want of memory perhaps
            raise Crashed from None

    def _seconds_computed(self) -> float:
        try:
            times = self._measured.cpu_times()
        except psutil.Error:  # it has ended, which the next message tells
            return 0.0
        return float(times.user + times.system)


def _needed_environment() -> dict[str, str]:
    """Of this process's variables those that Python needs, and none that holds a secret."""
    kept = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


class Lane:
    """Some processes of one niceness and the line before them."""

    def __init__(self, what: str, n_processes: int, max_waiting: int, niceness: int) -> None:
        self._line = WaitingLine(what, n_processes, max_waiting, max_seconds=30)
        self._niceness = niceness
        self._idle: list[DecodingProcess] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def start(self) -> None:
        for _ in range(self._line.places):
            self._give_back(DecodingProcess(self._niceness))

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    @contextmanager
    def process(self) -> Iterator[DecodingProcess]:
        """A free process, in one's turn.

        Raises:
            BusyError: too many wait.
        """
        with self._line.turn():
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                process = DecodingProcess(self._niceness)
            try:
                yield process
            finally:
                if process.is_free:
                    self._give_back(process)
                else:
                    process.end()
                    # At once, so that the next picture need not wait until it has started; it
                    # tries again itself if that fails.
                    with suppress(OSError):
                        self._give_back(DecodingProcess(self._niceness))

    def _give_back(self, process: DecodingProcess) -> None:
        with self._lock:
            keep = not self._is_closed
            if keep:
                self._idle.append(process)
        if not keep:
            process.end()


class Budget:
    """Bytes that all pictures in flight share.  Who needs little passes who waits for much."""

    def __init__(self, n_bytes: int, max_seconds: float = 30.0) -> None:
        self._free = n_bytes
        self._max_seconds = max_seconds
        self._changed = threading.Condition()

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """What the body takes by calling the result, once or again; given back at its end.

        Raises:
            BusyError: from that call: too little was free for too long.
        """
        taken = 0

        def take(n_bytes: int) -> None:
            nonlocal taken
            self._take(n_bytes - taken)
            taken = n_bytes

        try:
            yield take
        finally:
            self._take(-taken)

    def _take(self, n_bytes: int) -> None:
        with self._changed:
            if not self._changed.wait_for(
                lambda: n_bytes <= 0 or self._free >= n_bytes, self._max_seconds
            ):
                raise BusyError("large pictures")
            self._free -= n_bytes
            self._changed.notify_all()
