"""Pictures that people rightly send and that ask much of a server, as bytes.

Every one was answered before pictures had bounds in bytes and in time.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pillow_heif
from PIL import Image


def _enlarged(photo: Image.Image, width: int, height: int) -> Image.Image:
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def _file(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _heic(photo: Image.Image, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    heif = pillow_heif.from_pillow(_enlarged(photo, width, height))
    heif.save(buffer, format="HEIF", quality=40, enc_params={"preset": "ultrafast"})
    return buffer.getvalue()


def _sixteen_bits(photo: Image.Image, width: int, height: int) -> Image.Image:
    grey = np.asarray(_enlarged(photo.convert("L"), width, height), np.uint16)
    return Image.fromarray(grey * 257)


# name → its bytes, made of a photograph
GOOD: dict[str, Callable[[Image.Image], bytes]] = {
    "100_megapixels.jpg": lambda p: _file(_enlarged(p, 10_000, 10_000), "JPEG", quality=80),
    "100_megapixels_progressive.jpg": lambda p: _file(
        _enlarged(p, 10_000, 10_000), "JPEG", quality=60, progressive=True
    ),
    "48_megapixels.png": lambda p: _file(_enlarged(p, 8_000, 6_000), "PNG", compress_level=1),
    "48_megapixels.heic": lambda p: _heic(p, 8_064, 6_048),
    "48_megapixels.tif": lambda p: _file(_enlarged(p, 8_000, 6_000), "TIFF", compression="jpeg"),
    "24_megapixels.webp": lambda p: _file(_enlarged(p, 6_000, 4_000), "WEBP", quality=70, method=0),
    "24_megapixels.avif": lambda p: _file(_enlarged(p, 6_000, 4_000), "AVIF", speed=10),
    "24_megapixels_16_bits.png": lambda p: _file(
        _sixteen_bits(p, 6_000, 4_000), "PNG", compress_level=1
    ),
    "24_megapixels_transparent.png": lambda p: _file(
        _enlarged(p, 6_000, 4_000).convert("RGBA"), "PNG", compress_level=1
    ),
    "12_megapixels_of_floats.tif": lambda p: _file(_enlarged(p.convert("F"), 4_000, 3_000), "TIFF"),
    "12_megapixels.gif": lambda p: _file(_enlarged(p, 4_000, 3_000), "GIF"),
    "12_megapixels.bmp": lambda p: _file(_enlarged(p, 4_000, 3_000), "BMP"),
    "12_megapixels.ppm": lambda p: _file(_enlarged(p, 4_000, 3_000), "PPM"),
    "12_megapixels_cmyk.jpg": lambda p: _file(
        _enlarged(p, 4_000, 3_000).convert("CMYK"), "JPEG", quality=85
    ),
    "12_megapixels_4_4_4_progressive.jpg": lambda p: _file(
        _enlarged(p, 4_000, 3_000), "JPEG", quality=90, progressive=True, subsampling=0
    ),
    "a_panorama.jpg": lambda p: _file(_enlarged(p, 16_000, 2_500), "JPEG", quality=80),
}
