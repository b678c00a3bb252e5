"""Small whole pictures of every format that is read, and what is changed in them at random."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pillow_heif
from PIL import Image

SIZE = (64, 48)
PNG = b"\x89PNG\r\n\x1a\n"
MAX_BYTES = 400_000  # of a mutated picture; only splicing makes it longer
LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 10_000, 100_000, 0x7FFF_FFFF, 0xFFFF_FFFF)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip
COMPRESSIONS = ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate")


def _photo() -> Image.Image:
    """Something of everything: a gradient, an edge, and noise."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 60, (height, width))
    planes = [x * 3 % 256, y * 5 % 256, (x > 20) * 120 + noise]
    return Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))


def _save(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _interlaced(photo: Image.Image) -> bytes:
    """Adam7, which Pillow reads and does not write."""
    pixels, rows = np.asarray(photo), []
    for x, y, step_x, step_y in ADAM7:
        rows += [b"\0" + row.tobytes() for row in pixels[y::step_y, x::step_x]]
    header = struct.pack(">IIBBBBB", *photo.size, 8, 2, 0, 0, 1)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(b"".join(rows)), b"IEND")
    packed = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return PNG + b"".join(packed)


def _tiled_float() -> bytes:
    """A float TIFF of 16 × 16 tiles, by hand."""
    tiles = np.random.default_rng(1).random((12, 16, 16), dtype=np.float32).tobytes()
    n, at = 12, 8 + 2 + 11 * 12 + 4
    offsets = struct.pack(f"<{n}I", *(at + 8 * n + 1024 * k for k in range(n)))
    counts = struct.pack(f"<{n}I", *[1024] * n)
    entries = [(256, 4, 1, 64), (257, 4, 1, 48), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1),
               (277, 3, 1, 1), (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, n, at),
               (325, 4, n, at + 4 * n), (339, 3, 1, 3)]  # fmt: skip
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, 11) + packed + bytes(4) + offsets + counts + tiles


def _heif(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, quality=60)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Whole pictures, by the name of their kind."""
    photo = _photo()
    grey, alpha, palette = photo.convert("L"), photo.convert("RGBA"), photo.convert("P")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    others = [photo.rotate(90 * n) for n in (1, 2, 3)]
    frames = {"save_all": True, "append_images": others, "duration": 50}
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {
        "jpeg": _save(photo, "JPEG", exif=exif),
        "jpeg progressive": _save(photo, "JPEG", progressive=True),
        "jpeg cmyk": _save(photo.convert("CMYK"), "JPEG"),
        "jpeg grey": _save(grey, "JPEG", restart_marker_blocks=2),
        "png": _save(photo, "PNG"),
        "png 16 bit": _save(deep, "PNG"),
        "png interlaced": _interlaced(photo),
        "png palette": _save(palette, "PNG", transparency=3),
        "png alpha": _save(alpha, "PNG", compress_level=1),
        "png 1 bit": _save(photo.convert("1"), "PNG"),
        "apng": _save(photo, "PNG", **frames),
        "webp": _save(photo, "WEBP"),
        "webp lossless": _save(alpha, "WEBP", lossless=True),
        "webp animated": _save(photo, "WEBP", **frames),
        "gif": _save(palette, "GIF"),
        "gif animated": _save(photo, "GIF", **frames),
        "bmp": _save(photo, "BMP"),
        "bmp palette": _save(palette, "BMP"),
        "tiff float": _save(grey.convert("F"), "TIFF"),
        "tiff float tiled": _tiled_float(),
        "tiff 16 bit": _save(deep, "TIFF"),
        "tiff group4": _save(photo.convert("1"), "TIFF", compression="group4"),
        "tiff pages": _save(photo, "TIFF", save_all=True, append_images=others),
        "heif": _heif(photo),
        "heif alpha": _heif(alpha),
        "avif": _save(photo, "AVIF"),
        "ico": _save(alpha, "ICO", sizes=[(32, 32), (16, 16)]),
        "ppm": _save(photo, "PPM"),
        "pgm 16 bit": _save(deep, "PPM"),
        "ppm plain": b"P3 8 6 255\n" + b" ".join(b"%d" % (n % 256) for n in range(8 * 6 * 3)),
        "pbm plain": b"P1\n8 6\n" + b"01" * 24,
    }
    for compression in COMPRESSIONS:
        made[f"tiff {compression}"] = _save(photo, "TIFF", compression=compression)
    return made


Mutation = Callable[[random.Random, bytearray], bytearray]


def _bits(draw: random.Random, data: bytearray) -> bytearray:
    for _ in range(draw.choice((1, 2, 8, 40))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def _bytes(draw: random.Random, data: bytearray) -> bytearray:
    for _ in range(draw.choice((1, 4, 16))):
        data[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return data


def _truncated(draw: random.Random, data: bytearray) -> bytearray:
    return data[: draw.randrange(1, len(data))]


def _spliced(draw: random.Random, data: bytearray) -> bytearray:
    begin, end = sorted(draw.randrange(len(data)) for _ in range(2))
    at, times = draw.randrange(len(data)), draw.choice((1, 2, 50))
    return (data[:at] + data[begin:end] * times + data[at:])[:MAX_BYTES]


def _removed(draw: random.Random, data: bytearray) -> bytearray:
    begin = draw.randrange(len(data))
    return data[:begin] + data[begin + draw.randrange(1, 64) :]


def _number(draw: random.Random, data: bytearray, within: int) -> bytearray:
    form = draw.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    value = draw.choice(LARGE) & (2 ** (8 * size) - 1)
    at = draw.randrange(max(1, min(within, len(data)) - size))
    data[at : at + size] = struct.pack(form, value)
    return data


def _size_field(draw: random.Random, data: bytearray) -> bytearray:
    """A large number where headers are: widths, heights, counts, lengths."""
    return _number(draw, data, 64)


def _field(draw: random.Random, data: bytearray) -> bytearray:
    return _number(draw, data, len(data))


MUTATIONS: tuple[Mutation, ...] = (
    _bits, _bytes, _truncated, _spliced, _removed, _size_field, _size_field, _field,
)  # fmt: skip


def mutated(draw: random.Random, seed: bytes) -> bytes:
    """`seed` with one to three things wrong with it; never empty."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = draw.choice(MUTATIONS)(draw, data) or bytearray(b"\0")
    # A PNG whose sums are wrong is refused before anything is decoded.
    if data.startswith(PNG) and draw.random() < 0.7:
        data = _with_right_sums(data)
    return bytes(data)


def _with_right_sums(png: bytearray) -> bytearray:
    at = len(PNG)
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = struct.pack(">I", zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return png
