"""Files that people upload and that are not a plain RGB photograph, as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pillow_heif
from PIL import Image


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _heic(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(photo).save(buffer, format="HEIF")
    return buffer.getvalue()


def _sixteen_bit(photo: Image.Image) -> bytes:
    grey = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def _palette_with_transparency(photo: Image.Image) -> bytes:
    return encoded(photo.convert("P"), "PNG", transparency=3)


def _animated(photo: Image.Image) -> bytes:
    frames = [photo.rotate(angle) for angle in (90, 180)]
    return encoded(photo, "GIF", save_all=True, append_images=frames, duration=100)


# name of the upload → its bytes, made of a photograph; every one is a picture.
READABLE: dict[str, Callable[[Image.Image], bytes]] = {
    "phone.heic": _heic,
    "cmyk.jpg": lambda photo: encoded(photo.convert("CMYK"), "JPEG"),
    "sixteen_bit.png": _sixteen_bit,
    "palette_with_transparency.png": _palette_with_transparency,
    "animated.gif": _animated,
    "one_pixel.png": lambda photo: encoded(photo.resize((1, 1)), "PNG"),
    "a_strip.png": lambda photo: encoded(photo.resize((6000, 2)), "PNG"),
    "a_png_renamed.jpg": lambda photo: encoded(photo, "PNG"),
    "no_suffix": lambda photo: encoded(photo, "JPEG"),
    "naïve 猫 'quoted' #1.jpg": lambda photo: encoded(photo, "JPEG"),
}

# name of the upload → its bytes, and a word of the sentence that answers it.
UNREADABLE: dict[str, tuple[Callable[[Image.Image], bytes], str]] = {
    "truncated.jpg": (lambda photo: encoded(photo, "JPEG")[:3000], "damaged or cut off"),
    "truncated.png": (lambda photo: encoded(photo, "PNG")[:3000], "damaged or cut off"),
    "a_zip_renamed.jpg": (lambda photo: b"PK\x03\x04" + bytes(500), "not a picture"),
    "empty.jpg": (lambda photo: b"", "empty"),
    "text.jpg": (lambda photo: b"I am a picture, believe me.\n", "not a picture"),
    "drawing.svg": (
        lambda photo: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "SVG",
    ),
    "postscript.eps": (lambda photo: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "use"),
    "bomb.png": (
        lambda photo: encoded(Image.new("1", (20_000, 20_000)), "PNG"),
        "megapixels",
    ),
}
