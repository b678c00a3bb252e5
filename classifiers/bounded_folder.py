"""A folder of files that can be made again: written whole or not at all, and bounded in bytes.

Several processes may share it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

SECONDS_IN_USE = 60  # a file that was just asked for is still being sent
# So that their number is bounded, too: a file and its folder take more than is in a small one.
LEAST_BYTES_OF_A_FILE = 40_000
_UNFINISHED = ".part-"  # begins the name of a folder in which a file is being written


class BoundedFolder:
    """Files by key.  When they exceed `max_bytes`, those that were used longest ago go."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        # Locks live as long as somebody writes or waits.
        self._writing: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def get(self, key: str, name: str, write: Callable[[Path], object]) -> Path:
        """The file `name` of that key; `write(path)` makes it where it is not there.

        Args:
            key: names a folder: letters, digits and dashes.

        Raises:
            OSError: the disk is full or cannot be written to; or what `write` raises.
        """
        path = self.directory / key / name
        with self._lock:
            writing = self._writing.setdefault(key, threading.Lock())
        with writing:
            if not self._is_there(path):
                try:
                    self._write(path, write)
                except FileNotFoundError:  # another process has just removed the empty folder
                    self._write(path, write)
        return path

    def _is_there(self, path: Path) -> bool:
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError:  # a folder that can only be read
            return path.is_file()
        return True

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder of its own, so that no other process writes there and the name keeps its end.
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=path.parent) as unfinished:
            whole = Path(unfinished) / path.name
            write(whole)
            os.replace(whole, path)
        self.drop_oldest()

    def drop_oldest(self) -> int:
        """Removes files, those used longest ago first, until the rest is within `max_bytes`.

        Files that were used just now stay, as they may still be being sent.

        Returns:
            The bytes that are left.
        """
        return drop_oldest(self.directory, self.max_bytes)


def drop_oldest(directory: Path, max_bytes: int, max_seconds: float = float("inf")) -> int:
    """As `BoundedFolder.drop_oldest`, for any folder and all below it.

    Args:
        max_seconds: files that were not used for longer go in any case.
    """
    files = []
    # `walk` passes over folders that other processes remove meanwhile; `rglob` fails on them.
    for folder, inner, names in os.walk(directory):
        for name in (*names, *(name for name in inner if os.path.islink(Path(folder, name)))):
            with contextlib.suppress(OSError):
                path = Path(folder, name)
                status = path.lstat()
                files.append((status.st_mtime, max(status.st_size, LEAST_BYTES_OF_A_FILE), path))
    now = time.time()
    excess = sum(size for _, size, _ in files) - max_bytes
    for used, size, path in sorted(files, key=lambda file: file[0]):
        is_old = now - used > max_seconds
        if not is_old and (excess <= 0 or now - used < SECONDS_IN_USE):
            break
        with contextlib.suppress(OSError):
            path.unlink()
            excess -= size
            path.parent.rmdir()  # unless there is more in it
    return max_bytes + excess
