"""Any upload → an upright RGB picture, or an `ImageError`.  Knows nothing of models."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from pillow_heif import register_heif_opener

from classifiers.errors import ImageError

register_heif_opener()
Image.init()  # registers every format that `_FORMATS` may name

# A JPEG decoder halves a picture's sides up to three times almost for free.  What a model
# resizes from is still this many times larger than what it looks at.
_REDUCTIONS = (8, 4, 2)
_MARGIN = 3

MAX_IMAGE_PIXELS = 100_000_000  # a 100-megapixel camera; 300 MB once decoded

# What phones, cameras and browsers make.  A closed list, since Pillow also knows formats
# that start other programs (EPS) or are rarely fuzzed.  JPEG includes MPO.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "ICO", "PPM")
_READABLE = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"

# What Pillow's decoders raise on damaged files, by experience and by its fuzzers.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError, struct.error)

_TURNS = {  # EXIF orientation → what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

PictureSource: TypeAlias = str | Path | bytes | BinaryIO | Image.Image | np.ndarray


def open_picture(source: PictureSource, *, for_size: tuple[int, int] | None = None) -> Image.Image:
    """The picture in `source`, upright, in mode RGB.

    Turns by the EXIF orientation, takes the first frame of an animation, lays what is
    transparent on white and scales 16-bit and floating-point grey to 8 bits.

    Args:
        source: a path, the bytes of a file, an open binary file, a PIL picture, or an
            array `(height, width)` or `(height, width, 3 or 4)`, uint8.
        for_size: `(height, width)` that a model will look at; a JPEG is then decoded no
            larger than that needs, and its embedding stays within 1e-3 of the cosine.

    Raises:
        ImageError: not a picture, damaged, too large, or of a format we do not read.
    """
    if isinstance(source, np.ndarray):
        source = Image.fromarray(source)
    data: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if isinstance(data, Image.Image):
            return _to_upright_rgb(data)
        with warnings.catch_warnings():
            # We refuse by MAX_IMAGE_PIXELS below; Pillow's own warning would only be noise.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(data, formats=_FORMATS) as picture:
                return _to_upright_rgb(picture, for_size)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(_too_large()) from None
    except UnidentifiedImageError:
        raise ImageError(_why_unidentified(data)) from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            # The system's errors, not a decoder's; their text names folders of the server.
            raise ImageError("The picture is gone or cannot be read; choose it again.") from None
        raise ImageError("The picture is damaged or cut off; save or download it again.") from error


def _to_upright_rgb(picture: Image.Image, for_size: tuple[int, int] | None = None) -> Image.Image:
    width, height = picture.size
    if width < 1 or height < 1:
        raise ImageError("The picture has no pixels; choose another.")
    if width * height > MAX_IMAGE_PIXELS:
        raise ImageError(_too_large(width, height))
    if for_size is not None:
        _reduce(picture, max(for_size))
    picture.load()
    upright = _turned_upright(picture)
    if upright.mode == "RGB" and not upright.has_transparency_data:
        return upright
    if upright.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(upright))).convert("RGB")
    if upright.has_transparency_data:
        with_alpha = upright.convert("RGBA")
        on_white = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(on_white, with_alpha).convert("RGB")
    return upright.convert("RGB")


def _reduce(picture: Image.Image, size: int) -> None:
    """Has a JPEG's decoder give a smaller picture, if one is enough for `size` pixels."""
    short, long = sorted(picture.size)
    for reduction in _REDUCTIONS:
        # The decoder rounds sides up.  Where that changes the resized shape by a pixel, the
        # middle square would lie elsewhere, and a small model sees another picture.
        less_short, less_long = (-(-side // reduction) for side in (short, long))
        same_shape = size * less_long // less_short == size * long // short
        if less_short >= _MARGIN * size and same_shape:
            width, height = picture.size
            picture.draft(None, (width // reduction, height // reduction))
            return


def _turned_upright(picture: Image.Image) -> Image.Image:
    # ImageOps.exif_transpose also writes the EXIF anew, which fails where a camera's or an
    # editor's is odd; such a photo opens everywhere else, so it should here.
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        orientation = None
    turn = _TURNS.get(orientation or 1)
    return picture.copy() if turn is None else picture.transpose(turn)


def _to_8_bits(grey: np.ndarray) -> np.ndarray:
    """Grey values of any range → uint8 `(height, width)`; Pillow's own convert() clips.

    The range is told by the largest value: up to 1, up to 255, up to 65,535 or beyond.
    """
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0).clip(min=0.0)
    largest = values.max()
    sixteen_bits = grey.dtype.kind == "u" and grey.dtype.itemsize == 2  # either byte order
    full_scale = 65_535.0 if sixteen_bits else 255.0
    if np.issubdtype(grey.dtype, np.floating) and largest <= 1.0:
        full_scale = 1.0
    elif largest > full_scale:
        full_scale = max(65_535.0, largest)
    return np.round(values * (255.0 / full_scale)).astype(np.uint8)


def _too_large(width: int | None = None, height: int | None = None) -> str:
    size = f"has {width:,} × {height:,} pixels" if width and height else "is far too large"
    return (
        f"The picture {size}; up to {MAX_IMAGE_PIXELS // 1_000_000} megapixels can be read, "
        "so save it smaller and try again."
    )


def _why_unidentified(data: str | Path | BinaryIO) -> str:
    """The most helpful sentence about bytes that are no picture."""
    if isinstance(data, (str, Path)):
        with open(data, "rb") as file:
            head = file.read(1024)
    else:
        data.seek(0)
        head = data.read(1024)
    if not head:
        return "The file is empty; choose a picture."
    if b"<svg" in head.lower():
        return "SVG is a drawing, not a photograph; save it as PNG and try again."
    return f"This file is not a picture that can be read; use {_READABLE}."
