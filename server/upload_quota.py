"""Bounds what uploads, and files made for visitors, take of the disk."""

from __future__ import annotations

import threading
from pathlib import Path

from classifiers.bounded_folder import drop_oldest
from classifiers.errors import BusyError

SHARE_BETWEEN_SWEEPS = 0.05  # of the bound: looking through the folder takes a while


class UploadQuota:
    """Keeps a folder near `max_bytes`: what was used longest ago goes first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._bytes_since_sweep = max_bytes  # so that the first upload looks
        self._is_full = False
        self._lock = threading.Lock()

    def make_room(self, n_bytes: int) -> None:
        """Called before an upload of `n_bytes`.

        Raises:
            BusyError: more came in a short time than can be kept.
        """
        with self._lock:
            self._bytes_since_sweep += n_bytes
            if self._is_full or self._bytes_since_sweep > SHARE_BETWEEN_SWEEPS * self.max_bytes:
                left = drop_oldest(self.folder, self.max_bytes)
                # Files of the last minute stay, so that it may be exceeded for so long.
                self._is_full = left > 2 * self.max_bytes
                self._bytes_since_sweep = n_bytes
            if self._is_full:
                raise BusyError("uploads")
