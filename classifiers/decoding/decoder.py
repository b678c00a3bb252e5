"""Pictures of strangers → upright RGB pictures, decoded in processes that can be stopped.

A small file may ask for gigabytes, or keep a decoder busy for minutes.  So a server decodes
beside itself: each picture says first what memory it needs and gets it from one budget; a
process that takes longer than its time is ended.  Large pictures have a lane of their own, and
leave enough memory for a photograph.
"""

from __future__ import annotations

import io
import mmap
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from classifiers.decoding.needs import bytes_to_decode
from classifiers.decoding.process import Budget, Crashed, Lane, TooSlow
from classifiers.errors import BusyError, ImageError
from classifiers.files import open_regular_file, unnamed_file
from classifiers.images import PictureSource, open_picture

MAX_DECODING_BYTES = 460_000_000  # of one picture; 100 megapixels of RGB need 456 MB
BYTES_FOR_OTHERS = 44_000_000  # that a large picture leaves: a photograph as JPEG needs 41 MB

_TOO_SLOW = "The picture takes too long to decode; save it as an ordinary JPEG and try again."
_BREAKS_ITS_DECODER = "The picture is damaged; save or download it again."
_GONE = "The picture is gone or cannot be read; choose it again."

# Windows cannot hand an open file to another process this way.
_CAN_HAND_OVER = sys.platform != "win32" and hasattr(socket, "send_fds")


@dataclass(frozen=True)
class _Bounds:
    """What a picture of one lane may take."""

    n_bytes: int
    pixels: int  # that its decoder visits, scan by scan
    seconds: float  # of computing
    whole: bool = False  # takes all of `n_bytes`, whatever its header says


# What 16 megapixels of any format need; HEIC takes a second and a half.
_QUICK = _Bounds(256_000_000, 200_000_000, seconds=3.0)
# 100 megapixels of PNG take two seconds, 48 of HEIC four; a progressive JPEG of 100 megapixels
# has some ten scans, and one that was made to keep a decoder busy has hundreds.
_LARGE = _Bounds(MAX_DECODING_BYTES, 3_000_000_000, seconds=10.0)
_ALL = replace(_LARGE, whole=True)  # for one that needs more than its header lets one think


class _TooLarge(Exception):
    """Not a picture for this lane."""

    def __init__(self, n_bytes: int | None = None) -> None:
        super().__init__()
        self.n_bytes = n_bytes


class _OutOfMemory(_TooLarge):
    """It needed more than it had said."""


class PictureDecoder:
    """Opens pictures as `images.open_picture` does, with bounds.  Safe to use from threads.

    On Windows pictures are decoded in this process, held to what their headers say they need.
    """

    def __init__(self, n_quick: int = max(2, min(4, os.cpu_count() or 2))) -> None:
        self._quick = Lane("pictures", n_quick, max_waiting=32, niceness=0)
        self._large = Lane("large pictures", 1, max_waiting=8, niceness=5)
        self._budget = Budget(MAX_DECODING_BYTES + BYTES_FOR_OTHERS)

    def start(self) -> None:
        """Starts the processes, so that the first picture need not wait for one."""
        if _CAN_HAND_OVER:
            self._quick.start()
            self._large.start()

    def close(self) -> None:
        self._quick.close()
        self._large.close()

    def open(
        self, source: PictureSource, *, for_size: tuple[int, int] | None = None
    ) -> Image.Image:
        """The picture in `source`, upright, in mode RGB; arguments as `images.open_picture`.

        Raises:
            ImageError: as `images.open_picture`; or it needs too much memory or time.
            BusyError: too many pictures are being decoded.
        """
        if isinstance(source, (Image.Image, np.ndarray)):
            return open_picture(source, for_size=for_size)  # pixels already
        with _as_file(source) as file:
            if not _CAN_HAND_OVER:
                return self._open_here(file, for_size)
            with suppress(_TooLarge, TooSlow):
                return self._open_in(self._quick, _QUICK, file, for_size)
            try:
                with suppress(_OutOfMemory):
                    return self._open_in(self._large, _LARGE, file, for_size)
                return self._open_in(self._large, _ALL, file, for_size)
            except _TooLarge as error:
                raise ImageError(_too_much_memory(error.n_bytes)) from None
            except TooSlow:
                raise ImageError(_TOO_SLOW) from None

    def _open_in(
        self, lane: Lane, bounds: _Bounds, file: BinaryIO, for_size: tuple[int, int] | None
    ) -> Image.Image:
        """
        Raises:
            _TooLarge, TooSlow: for this lane.
            ImageError, BusyError: as `open`.
        """
        with lane.process() as process, self._budget.share() as take:
            try:
                process.begin({"for_size": for_size}, file.fileno(), bounds.seconds)
                message, pixels = process.receive()
                if "needed" in message:
                    needed = message["needed"]
                    if needed > bounds.n_bytes or message["pixels_to_visit"] > bounds.pixels:
                        process.leave_it()
                        raise _TooLarge(needed) if needed > bounds.n_bytes else TooSlow
                    reserved = bounds.n_bytes if bounds.whole else needed
                    try:
                        take(reserved)
                    except BusyError:
                        process.leave_it()
                        raise
                    process.go_on(reserved)
                    message, pixels = process.receive()
            except Crashed:
                raise ImageError(_BREAKS_ITS_DECODER) from None
            return _picture(message, pixels)

    def _open_here(self, file: BinaryIO, for_size: tuple[int, int] | None) -> Image.Image:
        with self._budget.share() as take:

            def reserve(picture: Image.Image, full_size: tuple[int, int]) -> None:
                needed = bytes_to_decode(picture, full_size, for_size)
                if needed > MAX_DECODING_BYTES:
                    raise ImageError(_too_much_memory(needed))
                take(needed)

            return open_picture(file, for_size=for_size, before_decoding=reserve)


@contextmanager
def _as_file(source: str | Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """`source` as an open file of the system, which another process can be handed.

    Raises:
        ImageError: nothing is there, or it is no ordinary file.
    """
    if isinstance(source, (str, Path)):
        with open_regular_file(source, ImageError(_GONE)) as file:
            yield file
        return
    if not isinstance(source, bytes):
        try:
            source.fileno()
        except io.UnsupportedOperation:  # in memory
            source = source.read()
        except OSError:  # of a file that would be written to a full disk first
            raise ImageError(_GONE) from None
        else:
            yield source
            return
    with unnamed_file() as file:
        file.write(source)
        file.flush()
        yield file


def _picture(message: dict[str, Any], pixels: int | None) -> Image.Image:
    """What a process answered, as a picture or an error."""
    if "out_of_memory" in message:
        raise _OutOfMemory
    if "error" in message:
        raise ImageError(message["error"])
    assert pixels is not None  # a picture comes with its pixels
    width, height = message["size"]
    # By its beginning and not by its position, which the process shares.
    try:
        with mmap.mmap(pixels, 3 * width * height, access=mmap.ACCESS_READ) as data:
            return Image.frombytes("RGB", (width, height), data.read())
    finally:
        os.close(pixels)


def _too_much_memory(n_bytes: int | None) -> str:
    needed = f"{n_bytes / 1e6:,.0f} MB" if n_bytes else "too much"
    return (
        f"The picture needs {needed} of memory to decode, and {MAX_DECODING_BYTES / 1e6:,.0f} MB "
        "is the most; save it smaller or as an ordinary JPEG and try again."
    )
