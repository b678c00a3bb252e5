"""How much memory it takes to decode a picture whose header was read.  Decodes nothing.

Counted from what the decoders allocate, as measured (tests/unit/decoding measures it again);
a process that decodes for strangers is held to the figure by the system.
"""

from __future__ import annotations

import mmap
import os
from typing import BinaryIO

from PIL import Image, ImageFile

from classifiers.images import reduced_size

# Pillow stores RGB and everything larger than one byte a pixel, 16-bit grey apart, in four.
_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2}
_BYTES_OF_OTHER_MODES = 4

# Bytes a pixel beside the picture itself: frame buffers, planes of luminance and colour, and
# the copy in which a decoder hands them over.
_BYTES_BESIDE = {"WEBP": 11, "AVIF": 4.25, "HEIF": 3, "GIF": 4, "BMP": 1, "ICO": 4, "PPM": 4}

_BYTES_OF_RESULT = 8  # a pixel: RGB, and RGB turned upright

_WORKING_BYTES = 32_000_000  # strips in conversion, a decoder's own tables and threads

WEBP_HEADER_BYTES = 30

_JPEG = ("JPEG", "MPO")
_PIXELS_OF_JPEG = 12  # take as long as one of another format: PNG 8, WebP 12, HEIC 30

_PIXELS_OF_A_DIGIT = 300  # of a picture that is written as text: Pillow reads it in Python

_SCAN = b"\xff\xda"  # begins a scan of a JPEG; within coded data 0xFF is followed by 0


def bytes_to_decode(
    picture: Image.Image, full_size: tuple[int, int], for_size: tuple[int, int] | None
) -> int:
    """Memory that `picture.load()` and the conversion to RGB take.

    Args:
        picture: opened and not loaded; a JPEG drafted to the size it is decoded in.
        full_size: `(width, height)` before that.
        for_size: as `images.open_picture` has it.
    """
    width, height = picture.size
    pixels = width * height
    beside = _BYTES_BESIDE.get(picture.format or "", 0)
    needed = int(pixels * (_bytes_a_pixel(picture.mode) + beside))
    if _is_progressive(picture):
        needed += _coefficient_bytes(picture, full_size)
    if picture.format == "TIFF" and picture.info.get("compression") != "raw":
        needed += _strip_bytes(picture)
    return needed + _result_bytes(picture.size, for_size) + _WORKING_BYTES


def webp_bytes_to_decode(head: bytes, for_size: tuple[int, int] | None) -> int | None:
    """As `bytes_to_decode`, from the first bytes of a file; None if it is no WebP.

    Opening a WebP already allocates its frames.

    Source: RFC 9649, sections 2.4 to 2.7.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < WEBP_HEADER_BYTES:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        size = 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        size = (
            int.from_bytes(head[26:28], "little") & 0x3FFF,
            int.from_bytes(head[28:30], "little") & 0x3FFF,
        )
    frames = int((_BYTES_OF_OTHER_MODES + _BYTES_BESIDE["WEBP"]) * size[0] * size[1])
    return frames + _result_bytes(size, for_size) + _WORKING_BYTES


def _result_bytes(size: tuple[int, int], for_size: tuple[int, int] | None) -> int:
    across, down = reduced_size(size, for_size) if min(size) > 0 else (0, 0)
    return _BYTES_OF_RESULT * across * down


def pixels_to_visit(picture: Image.Image, full_size: tuple[int, int], file: BinaryIO) -> int:
    """How long decoding takes, in pixels of a baseline JPEG.

    The decoder of a progressive one goes over all of them for each scan.
    """
    pixels = full_size[0] * full_size[1]
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    if tiles and tiles[0][0] == "ppm_plain":
        return _PIXELS_OF_A_DIGIT * os.fstat(file.fileno()).st_size
    if picture.format not in _JPEG:
        return _PIXELS_OF_JPEG * pixels
    return pixels * max(1, _count_scans(file)) if _is_progressive(picture) else pixels


def _count_scans(file: BinaryIO) -> int:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        n_scans, at = 0, data.find(_SCAN)
        while at >= 0:
            n_scans, at = n_scans + 1, data.find(_SCAN, at + 1)
    return n_scans


def _bytes_a_pixel(mode: str) -> int:
    return _BYTES_OF_MODE.get(mode, _BYTES_OF_OTHER_MODES)


def _is_progressive(picture: Image.Image) -> bool:
    return picture.format in _JPEG and bool(picture.info.get("progressive"))


def _coefficient_bytes(picture: Image.Image, full_size: tuple[int, int]) -> int:
    """What the decoder of a progressive JPEG keeps of the whole picture between scans."""
    layers = getattr(picture, "layer", [])  # (id, horizontal, vertical sampling, table)
    across = max((layer[1] for layer in layers), default=1)
    down = max((layer[2] for layer in layers), default=1)
    share = sum(layer[1] * layer[2] for layer in layers) / (across * down)
    return int(2 * share * full_size[0] * full_size[1])  # 16 bits each


def _strip_bytes(picture: Image.Image) -> int:
    """The largest piece of a TIFF, which is decompressed whole: often all of it."""
    tags = getattr(picture, "tag_v2", {})
    samples = sum(tags.get(258, (8,))) or 8  # bits a pixel
    width, height = picture.size
    if 322 in tags:  # tiles
        width, height = int(tags.get(322, width)), int(tags.get(323, height))
    else:
        height = min(height, int(tags.get(278, height)))
    return width * height * max(samples // 8, 1)
