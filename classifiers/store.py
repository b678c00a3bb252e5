"""Heads on disk, by id: bounded, written atomically, shared by processes.

A cache that can be thrown away: whatever is missing or damaged is built again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
from pathlib import Path

from classifiers.errors import HeadError
from classifiers.heads import Head

_log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 1_000_000_000  # some 160 heads of 4,000 classes × 384 numbers

SECONDS_BEFORE_SWEEPING = 3600  # no head takes that long to write

_ID = re.compile(r"[0-9a-f]{32}")


class HeadStore:
    """A folder of `<id>.safetensors`; the least recently used go first when it is full."""

    def __init__(self, directory: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        directory.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def get(self, head_id: str) -> Head | None:
        """The head, or None where it is not there or its file is damaged."""
        if not _ID.fullmatch(head_id):  # ids come from visitors: never a path
            return None
        path = self._path(head_id)
        if not path.exists():
            return None
        try:
            head = Head.load(path)
            if head.id != head_id:
                raise HeadError(f"“{path.name}” holds the head {head.id}")
        except HeadError as error:
            _log.warning("Dropping a damaged head: %s", error)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # another process may just have dropped it
            os.utime(path)
        return head

    def put(self, head: Head) -> None:
        """Keeps the head.  Readers see the whole file or none."""
        handle, temporary = tempfile.mkstemp(dir=self.directory, suffix=".part")
        os.close(handle)
        try:
            head.save(temporary)
            os.replace(temporary, self._path(head.id))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._drop_oldest()

    def _path(self, head_id: str) -> Path:
        return self.directory / f"{head_id}.safetensors"

    def _sweep(self) -> None:
        """Removes what a process that was killed left half-written."""
        for path in self.directory.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > SECONDS_BEFORE_SWEEPING:
                    path.unlink()

    def _drop_oldest(self) -> None:
        files = []
        for path in self.directory.glob("*.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in files) - self.max_bytes
        for _, size, path in sorted(files, key=lambda file: file[0]):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size
