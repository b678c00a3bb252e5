"""Small files that are a great deal of work to decode, as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import pillow_heif
from PIL import Image

SIDE = 10_000  # pixels; with it a picture is just as large as may be read


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def zeros(n_bytes: int) -> bytes:
    """So many zeros, deflated."""
    press, block = zlib.compressobj(9), bytes(1_000_000)
    parts = [press.compress(block) for _ in range(n_bytes // len(block))]
    return b"".join([*parts, press.compress(bytes(n_bytes % len(block))), press.flush()])


def png(width: int, height: int, bits: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of zeros.  `colour`: 0 grey, 2 RGB, 6 RGBA."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    row = 1 + -(-width * bits * channels // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", zeros(row * height))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def huge_text_png() -> bytes:
    text = b"Comment\0\0" + zeros(400_000_000)
    return png(64, 48, 8, 2, *[_chunk(b"zTXt", text)] * 20)


def huge_profile_png() -> bytes:
    return png(64, 48, 8, 2, _chunk(b"iCCP", b"profile\0\0" + zeros(1_000_000_000)))


def ico_that_lies() -> bytes:
    """Its directory says 16 × 16."""
    inner = png(SIDE, SIDE, 8, 6)
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def tiff(entries: list[tuple[int, int, int, int]], next_ifd: int, rest: bytes = b"") -> bytes:
    """A TIFF with one directory, at 8, of `(tag, type, count, value)`, and `rest` behind it."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    directory = struct.pack("<H", len(entries)) + packed + struct.pack("<I", next_ifd)
    return b"II*\0" + struct.pack("<I", 8) + directory + rest


def float_tiff() -> bytes:
    """32-bit floats, deflated: 400 MB of zeros."""
    data = zeros(SIDE * SIDE * 4)
    at = 8 + 2 + 11 * 12 + 4
    entries = [(256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 1, 32), (259, 3, 1, 8),
               (262, 3, 1, 1), (273, 4, 1, at), (277, 3, 1, 1), (278, 4, 1, SIDE),
               (279, 4, 1, len(data)), (284, 3, 1, 1), (339, 3, 1, 3)]  # fmt: skip
    return tiff(entries, 0, data)


def looping_tiff() -> bytes:
    """Directories that name themselves as the next, as EXIF and as sub-directories."""
    at = 8 + 2 + 13 * 12 + 4
    entries = [(256, 4, 1, 64), (257, 4, 1, 48), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, at), (277, 3, 1, 1), (278, 4, 1, 48), (279, 4, 1, 64 * 48),
               (330, 13, 1, 8), (330, 4, 0x0FFF_FFFF, 8), (34665, 4, 1, 8),
               (40965, 4, 1, 8)]  # fmt: skip
    return tiff(entries, 8, bytes(64 * 48))


def repeated_scans(side: int, n_bytes: int) -> bytes:
    """A grey progressive JPEG whose last scan is repeated until the file has `n_bytes`."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True, optimize=True)
    data = buffer.getvalue()
    end = data.rindex(b"\xff\xd9")
    scan = data[data.rindex(b"\xff\xda") : end]
    return data[:end] + scan * ((n_bytes - len(data)) // len(scan)) + b"\xff\xd9"


def plain_ppm(width: int = 4_000, height: int = 2_000) -> bytes:
    """As text: two bytes a number, 48 MB."""
    return f"P3\n{width} {height}\n9\n".encode() + b"0 " * (width * height * 3)


def one_colour(kind: str, width: int, height: int, mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


def heic(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("L", (width, height), 90)).save(buffer, quality=1)
    return buffer.getvalue()


# name → the file, quick to make
QUICK: dict[str, Callable[[], bytes]] = {
    "16-bit PNG 10,000²": lambda: png(SIDE, SIDE, 16, 0),
    "RGBA PNG 10,000²": lambda: png(SIDE, SIDE, 8, 6),
    "float TIFF 10,000²": float_tiff,
    "1-bit PNG 10,000²": lambda: png(SIDE, SIDE, 1, 0),
    "ICO 16² with PNG 10,000²": ico_that_lies,
    "progressive JPEG 122 kB": lambda: repeated_scans(4_000, 122_000),
    "progressive JPEG 869 kB": lambda: repeated_scans(SIDE, 869_000),
    "plain PPM 48 MB": plain_ppm,
    "TIFF of looping directories": looping_tiff,
    "PNG with huge zTXt": huge_text_png,
}

# and those that take seconds to make, or are much like others
MORE: dict[str, Callable[[], bytes]] = {
    "progressive JPEG 629 kB": lambda: repeated_scans(8_000, 629_000),
    "PNG with huge iCCP": huge_profile_png,
    "16-bit RGBA PNG 10,000²": lambda: png(SIDE, SIDE, 16, 6),
    "lossless WebP 16,000 × 6,000": lambda: one_colour(
        "WEBP", 16_000, 6_000, "RGB", lossless=True, method=0, quality=0
    ),
    "GIF 10,000²": lambda: one_colour("GIF", SIDE, SIDE),
    "AVIF 10,000²": lambda: one_colour("AVIF", SIDE, SIDE, "RGB", speed=10, quality=10),
    "HEIC 8,000²": lambda: heic(8_000, 8_000),
}
