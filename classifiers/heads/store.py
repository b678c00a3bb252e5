"""Heads on disk, by id: bounded, written atomically, shared by processes.

A cache that can be thrown away: whatever is missing or damaged is built again, and where
there can be none the program goes on without.
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
from classifiers.heads.head import Head

_log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES = 1_000_000_000  # some 160 heads of 4,000 classes × 384 numbers

SECONDS_BEFORE_SWEEPING = 3600  # no head takes that long to write

# What a killed process leaves half-written: ours, and safetensors' own of earlier versions.
_UNFINISHED = ("*.part", ".tmp*")

_ID = re.compile(r"[0-9a-f]{32}")


class HeadStore:
    """A folder of `<id>.safetensors`; the least recently used go first when it is full."""

    def __init__(self, directory: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._is_missed = False  # said in the log
        with contextlib.suppress(OSError):
            self._make_part().unlink()  # says now, not at the first head, what is wrong
        self._sweep()

    def get(self, head_id: str) -> Head | None:
        """The head, or None where it is not there, or its file is damaged or cannot be read."""
        if not isinstance(head_id, str) or not _ID.fullmatch(
            head_id
        ):  # ids come from visitors: never a path
            return None
        path = self._path(head_id)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # too many open files, a failing disk: the head may be sound
            _log.warning("The head %s cannot be read now: %s", path.name, error.strerror)
            return None
        try:
            head = Head.from_bytes(data, path.name)
            if head.id != head_id:
                raise HeadError(f"“{path.name}” holds the head {head.id}")
        except HeadError as error:
            _log.warning("Dropping a damaged head: %s", error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # another process may just have dropped it
            os.utime(path)
        return head

    def put(self, head: Head) -> None:
        """Keeps the head, unless no file can be made in the folder, which the log says once.

        Readers see the whole file or none.

        Raises:
            HeadError: as `Head.save`.
            OSError: it cannot be written, for instance because the disk is full.
        """
        try:
            part = self._make_part()
        except OSError:
            return
        try:
            head.save(part)
            os.replace(part, self._path(head.id))
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        self._sweep()
        self._drop_oldest()

    def _path(self, head_id: str) -> Path:
        return self.directory / f"{head_id}.safetensors"

    def _make_part(self) -> Path:
        """A new empty file to write into, in the folder, which may have been removed.

        Raises:
            OSError: there can be none; the log says so until there can again.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(dir=self.directory, suffix=".part")
        except OSError as error:
            if not self._is_missed:
                _log.warning(
                    "Heads cannot be kept in %s (%s), so each has to be built again after a "
                    "restart; choose another cache folder or make this one writable.",
                    self.directory,
                    error.strerror,
                )
            self._is_missed = True
            raise
        self._is_missed = False
        os.close(handle)
        return Path(path)

    def _sweep(self) -> None:
        """Removes what a process that was killed left half-written."""
        for pattern in _UNFINISHED:
            for path, status in self._files(pattern):
                if time.time() - status.st_mtime > SECONDS_BEFORE_SWEEPING:
                    with contextlib.suppress(OSError):  # another process may sweep as well
                        path.unlink()

    def _drop_oldest(self) -> None:
        files = self._files("*.safetensors")
        excess = sum(status.st_size for _, status in files) - self.max_bytes
        for path, status in sorted(files, key=lambda file: file[1].st_mtime):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                excess -= status.st_size

    def _files(self, pattern: str) -> list[tuple[Path, os.stat_result]]:
        """Those that are there and can be looked at now; others may come and go meanwhile."""
        files = []
        with contextlib.suppress(OSError):
            for path in self.directory.glob(pattern):
                with contextlib.suppress(OSError):
                    files.append((path, path.stat()))
        return files
