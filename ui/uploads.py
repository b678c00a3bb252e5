"""Files of visitors: what a handler may open, whatever path it was sent.

A wall of our own behind Gradio's: a path that comes over the wire is opened only inside the
folder of uploads, where another visitor's file has an unguessable address.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gradio import processing_utils

from classifiers.errors import ImageError, UploadError
from classifiers.files import open_inside
from server.upload_quota import UploadQuota

MAX_UPLOAD_BYTES = 50_000_000
GONE = "The file is not here any more; choose it again."

_quota: UploadQuota | None = None  # of a server; set once, at its start

_DATA_URL = re.compile(r"data:image/([a-z0-9.+-]{1,40})?(?:;[^,;]{0,100})*;base64,", re.IGNORECASE)
_SUFFIXES = {"jpeg": ".jpg", "jpg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif"}


def upload_folder() -> Path:
    """Where Gradio keeps what visitors upload and what handlers return."""
    return Path(processing_utils.get_upload_folder())


@contextmanager
def open_upload(path: str) -> Iterator[BinaryIO]:
    """The upload at `path`, open for reading.

    Raises:
        UploadError: no upload is there; the sentence does not tell what is.
    """
    with open_inside(upload_folder(), path, UploadError(GONE)) as file:
        with suppress(OSError):  # a disk that can only be read
            os.utime(file.fileno() if os.utime in os.supports_fd else path)  # it is in use
        yield file


def is_upload(path: str) -> bool:
    """Whether `open_upload` would open it."""
    try:
        with open_upload(path):
            return True
    except UploadError:
        return False


@contextmanager
def copied_upload(path: str, max_bytes: int) -> Iterator[Path]:
    """A copy, under the upload's own name, for libraries that open files by name.

    A file of more than `max_bytes` is cut behind the first byte too many.

    Raises:
        UploadError: as `open_upload`.
    """
    with open_upload(path) as file, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / Path(path).name
        with open(copy, "wb") as target:
            left = max_bytes + 1
            while left and (block := file.read(min(left, 1 << 20))):
                target.write(block)
                left -= len(block)
        yield copy


def read_data_url(url: str) -> tuple[bytes, str]:
    """The picture in a `data:` URL, and a suffix for its file.

    Raises:
        ImageError: it is malformed, or larger than an upload may be.
    """
    head = _DATA_URL.match(url[:400])
    if head is None:
        raise ImageError("The data: URL holds no picture in base64; send data:image/jpeg;base64,…")
    if len(url) > MAX_UPLOAD_BYTES * 4 // 3 + 400:
        raise ImageError(f"The picture is larger than {MAX_UPLOAD_BYTES // 1_000_000} MB.")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ImageError(
            "The base64 of the data: URL is damaged; encode the picture again."
        ) from None
    return data, _SUFFIXES.get((head.group(1) or "").lower(), "")


def keep_picture(data: bytes, suffix: str) -> str:
    """Puts a picture where uploads are; returns its path."""
    return str(new_file(f"picture{suffix}", data))


def bound_uploads(quota: UploadQuota) -> None:
    """Has what is written here count as uploads do."""
    global _quota
    _quota = quota


def new_file(name: str, data: bytes) -> Path:
    """A file in the folder of uploads, with an address that nobody can guess.

    Raises:
        BusyError: too much came in a short time.
    """
    if _quota is not None:
        _quota.make_room(len(data))
    folder = upload_folder() / secrets.token_hex(32)
    folder.mkdir(parents=True)
    path = folder / name
    path.write_bytes(data)
    return path
