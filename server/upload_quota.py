"""Bounds what uploads, and files made for visitors, take of the disk, and for how long."""

from __future__ import annotations

import threading
from pathlib import Path

from classifiers.bounded_folder import drop_oldest
from classifiers.errors import BusyError

SHARE_BETWEEN_SWEEPS = 0.05  # of the bound: looking through the folder takes a while
# That an upload counts for at least: one request may bring a thousand tiny files.
LEAST_BYTES = 4_000_000
KEPT_SECONDS = 24 * 60 * 60
SECONDS_BETWEEN_SWEEPS = 60 * 60


class UploadQuota:
    """Keeps a folder near `max_bytes` and its files a day: what was used longest ago goes first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._bytes_since_sweep = max_bytes  # so that the first upload looks
        self._is_full = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Removes old files now and every hour, in the background."""
        threading.Thread(target=self._sweep_hourly, name="old uploads", daemon=True).start()

    def make_room(self, n_bytes: int) -> None:
        """Called before `n_bytes` are written.

        Raises:
            BusyError: more came in a short time than can be kept.
        """
        with self._lock:
            self._bytes_since_sweep += max(n_bytes, LEAST_BYTES)
            if self._is_full or self._bytes_since_sweep > SHARE_BETWEEN_SWEEPS * self.max_bytes:
                self._sweep()
                self._bytes_since_sweep = n_bytes
            if self._is_full:
                raise BusyError("uploads")

    def _sweep(self) -> None:
        """`self._lock` is held."""
        left = drop_oldest(self.folder, self.max_bytes, KEPT_SECONDS)
        # Files of the last minute stay, so that it may be exceeded for so long.
        self._is_full = left > 2 * self.max_bytes

    def _sweep_hourly(self) -> None:
        pause = threading.Event()  # that nobody ends: the thread ends with the process
        while True:
            with self._lock:
                self._sweep()
            pause.wait(SECONDS_BETWEEN_SWEEPS)
