"""Files of the system: opened without surprises, or without a name."""

from __future__ import annotations

import logging
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from classifiers.errors import HeadsmithError

_log = logging.getLogger(__name__)

# A pipe that nobody writes to would keep whoever opens it; not to be had on Windows.
_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def open_regular_file(path: str | Path, error: HeadsmithError) -> Iterator[BinaryIO]:
    """The file at `path`, open for reading.

    Raises:
        HeadsmithError: `error`, whatever the reason: nothing there, a folder, a pipe, a device.
    """
    try:
        number = os.open(path, os.O_RDONLY | _DO_NOT_WAIT)
    except (OSError, ValueError):
        raise error from None
    with _regular_file(number, error) as file:
        yield file


def _regular_file(number: int, error: HeadsmithError) -> BinaryIO:
    """The open file of that number, which is closed if it is no ordinary one."""
    # Looked at first: Python opens no folder, and would leave its number open.
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise error
    return os.fdopen(number, "rb")


@contextmanager
def open_inside(folder: str | Path, path: str | Path, error: HeadsmithError) -> Iterator[BinaryIO]:
    """The file at `path` if it lies in `folder`, open for reading.

    Goes down from the folder part by part and follows no link, so that what is opened is what
    was checked, whatever happens to the names meanwhile.

    Raises:
        HeadsmithError: `error`, whatever the reason: elsewhere, not there, a link, no file.
    """
    try:
        number = _open_without_links(Path(folder), _parts_below(folder, path))
    except (OSError, ValueError):
        raise error from None
    with _regular_file(number, error) as file:
        yield file


def _parts_below(folder: str | Path, path: str | Path) -> tuple[str, ...]:
    """The names that lead from `folder`, which itself may be reached by a link, to `path`."""
    absolute = Path(os.path.abspath(path))
    for base in (os.path.abspath(folder), os.path.realpath(folder)):
        if absolute.is_relative_to(base):
            return absolute.relative_to(base).parts
    raise ValueError("elsewhere")


def _open_without_links(folder: Path, parts: tuple[str, ...]) -> int:
    """
    Raises:
        OSError: a part is missing, or a link.
        ValueError: there are no parts, or one is no name of a file.
    """
    if not parts:
        raise ValueError("the folder itself")
    if os.open not in os.supports_dir_fd:  # Windows, where only administrators make links
        whole = folder.joinpath(*parts)
        if whole.resolve() != folder.resolve().joinpath(*parts):
            raise OSError("a link")
        return os.open(whole, os.O_RDONLY | _DO_NOT_WAIT)
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | _DO_NOT_WAIT, dir_fd=here)
    finally:
        os.close(here)


def usable_folder(wanted: Path) -> Path:
    """`wanted`, made if it is not there; a new temporary folder if nothing can be written to it."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        _log.warning("%s cannot be written to (%s); a temporary folder is used.", wanted, error)
        return Path(tempfile.mkdtemp(prefix="headsmith-"))


def unnamed_file() -> BinaryIO:
    """An open file in memory, or on disk where the system has no such; gone when closed."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("headsmith"), "w+b")
    return tempfile.TemporaryFile()
