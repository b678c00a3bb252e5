"""Any upload → an upright RGB picture, or an `ImageError`.  Knows nothing of models.

Decodes in the caller's process and takes what memory the picture needs; a server, whose
pictures come from strangers, opens them through `decoder.PictureDecoder`.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

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

# Other pictures are decoded whole; what a model resizes from is then averaged down, from this
# many times what it looks at, so that no large copy is made.
AVERAGED_MARGIN = 8
_MAX_RESULT_PIXELS = 3_000_000  # of what is opened for a model, while that keeps `_MARGIN`
_MAX_ASPECT_RATIO = 16  # of the same: of a longer strip a model is shown the middle

MAX_IMAGE_PIXELS = 100_000_000  # a 100-megapixel camera

# What phones, cameras and browsers make.  A closed list, since Pillow also knows formats
# that start other programs (EPS) or are rarely fuzzed.  JPEG includes MPO.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "ICO", "PPM")
_READABLE = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"

# What Pillow's decoders raise on damaged files, by experience and by its fuzzers.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, RuntimeError, ArithmeticError,
    LookupError, AttributeError, struct.error,
)  # fmt: skip

_STRIP_PIXELS = 1 << 20  # of a strip that is converted at a time; its copies take a few MB

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
# Called with a picture whose header was read, and its size before a JPEG was drafted.
BeforeDecoding: TypeAlias = Callable[[Image.Image, tuple[int, int]], None]


class OpenPicture(Protocol):
    """`open_picture` below, or what opens pictures with more care."""

    def __call__(
        self, source: PictureSource, *, for_size: tuple[int, int] | None = None
    ) -> Image.Image: ...


def open_picture(
    source: PictureSource,
    *,
    for_size: tuple[int, int] | None = None,
    before_decoding: BeforeDecoding | None = None,
) -> Image.Image:
    """The picture in `source`, upright, in mode RGB.

    Turns by the EXIF orientation, takes the first frame of an animation, lays what is
    transparent on white and scales 16-bit and floating-point grey to 8 bits.

    Args:
        source: a path, the bytes of a file, an open binary file, a PIL picture, or an
            array `(height, width)` or `(height, width, 3 or 4)`, uint8.
        for_size: `(height, width)` that a model will look at; the picture is then made no
            larger than that needs, and its embedding stays within 1e-3 of the cosine.
        before_decoding: called once the header is read; what it raises stops the work.

    Raises:
        ImageError: not a picture, damaged, too large, or of a format we do not read.
        MemoryError: it needs more memory than there is.
    """
    if isinstance(source, np.ndarray):
        source = Image.fromarray(source)
    data: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    with _errors_as_sentences(data):
        if isinstance(data, Image.Image):
            return _to_upright_rgb(data, for_size, before_decoding)
        with warnings.catch_warnings():
            # We refuse by MAX_IMAGE_PIXELS below; Pillow's own warning would only be noise.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(data, formats=_FORMATS) as picture:
                return _to_upright_rgb(picture, for_size, before_decoding)


@contextmanager
def _errors_as_sentences(data: Any) -> Iterator[None]:
    try:
        yield
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


def _to_upright_rgb(
    picture: Image.Image,
    for_size: tuple[int, int] | None = None,
    before_decoding: BeforeDecoding | None = None,
) -> Image.Image:
    _check_size(picture)
    full_size = picture.size
    if for_size is not None:
        _draft(picture, max(for_size))
    if before_decoding is not None:
        before_decoding(picture, full_size)
    picture.load()
    _check_size(picture)  # an icon's directory may have lied
    if for_size is None:
        return _turned_upright(picture, _to_rgb(picture, 1))
    middle = _middle(picture)
    return _turned_upright(picture, _to_rgb(middle, _reduction(middle.size, max(for_size))))


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise ImageError("The picture has no pixels; choose another.")
    if width * height > MAX_IMAGE_PIXELS:
        raise ImageError(_too_large(width, height))


def _draft(picture: Image.Image, size: int) -> None:
    """Has a JPEG's decoder give a smaller picture, if one is enough for `size` pixels."""
    reduction = next(
        (n for n in _REDUCTIONS if _is_enough(picture.size, n, _MARGIN * size, size)), 1
    )
    if reduction > 1:
        width, height = picture.size
        picture.draft(None, (width // reduction, height // reduction))


def reduced_size(shape: tuple[int, int], for_size: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of what `open_picture` makes of a decoded picture of that shape."""
    if for_size is None:
        return shape
    longest = _MAX_ASPECT_RATIO * min(shape)
    shape = min(shape[0], longest), min(shape[1], longest)
    factor = _reduction(shape, max(for_size))
    return -(-shape[0] // factor), -(-shape[1] // factor)


def _middle(picture: Image.Image) -> Image.Image:
    """The middle of a strip that is longer than `_MAX_ASPECT_RATIO`; others as they are."""
    width, height = picture.size
    longest = _MAX_ASPECT_RATIO * min(width, height)
    if max(width, height) <= longest:
        return picture
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return picture.crop((left, top, left + min(width, longest), top + min(height, longest)))


def _reduction(shape: tuple[int, int], size: int) -> int:
    """By which whole factor a decoded picture may shrink before a model resizes it."""
    least = AVERAGED_MARGIN * size
    factor = next(
        (n for n in range(min(shape) // least, 1, -1) if _is_enough(shape, n, least, size)), 1
    )
    smallest = math.ceil(math.sqrt(shape[0] * shape[1] / _MAX_RESULT_PIXELS))
    return max(factor, min(smallest, min(shape) // (_MARGIN * size)))


def _is_enough(shape: tuple[int, int], reduction: int, least: int, size: int) -> bool:
    """Whether a picture so many times smaller keeps `least` pixels and a model's view of it."""
    short, long = sorted(shape)
    # Sides are rounded up.  Where that changes the resized shape by a pixel, the middle square
    # would lie elsewhere, and a small model sees another picture.
    less_short, less_long = (-(-side // reduction) for side in (short, long))
    same_shape = size * less_long // less_short == size * long // short
    return less_short >= least and same_shape


def _to_rgb(picture: Image.Image, factor: int) -> Image.Image:
    """A new RGB picture, `factor` times smaller, without a second copy of a large one.

    Works in strips: what a conversion needs besides the picture is a few megabytes.
    """
    width, height = picture.size
    convert = _converter(picture)
    rows = max(1, _STRIP_PIXELS // width // factor) * factor
    if factor == 1 and rows >= height:
        return convert(picture)
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, rows):
        strip = convert(picture.crop((0, top, width, min(height, top + rows))))
        result.paste(strip if factor == 1 else strip.reduce(factor), (0, top // factor))
    return result


def _converter(picture: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """What makes a strip of the loaded `picture` RGB."""
    if picture.mode.startswith(("I", "F")):
        full_scale = _full_scale(picture)
        return lambda strip: Image.fromarray(_to_8_bits(np.asarray(strip), full_scale)).convert(
            "RGB"
        )
    if picture.has_transparency_data:
        return _on_white
    return lambda strip: strip.convert("RGB")


def _on_white(strip: Image.Image) -> Image.Image:
    with_alpha = strip.convert("RGBA")
    white = Image.new("RGBA", with_alpha.size, "white")
    return Image.alpha_composite(white, with_alpha).convert("RGB")


def _turned_upright(original: Image.Image, rgb: Image.Image) -> Image.Image:
    """`rgb` turned as the EXIF of `original` says."""
    # ImageOps.exif_transpose also writes the EXIF anew, which fails where a camera's or an
    # editor's is odd; such a photo opens everywhere else, so it should here.
    try:
        orientation = original.getexif().get(ExifTags.Base.Orientation)
    except _DAMAGE:
        orientation = None
    turn = _TURNS.get(orientation or 1) if isinstance(orientation, int) else None
    return rgb if turn is None else rgb.transpose(turn)


def _full_scale(picture: Image.Image) -> float:
    """What counts as white in grey of more than 8 bits.

    The range is told by the largest value: up to 1, up to 255, up to 65,535 or beyond.
    """
    whole = picture.mode != "F"
    if picture.mode.startswith("I;16"):
        return 65_535.0
    largest = 0.0
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        values = np.asarray(picture.crop((0, top, width, min(height, top + rows))))
        finite = values[np.isfinite(values)]
        largest = max(largest, float(finite.max())) if finite.size else largest
    if not whole and largest <= 1.0:
        return 1.0
    return 255.0 if largest <= 255.0 else max(65_535.0, largest)


def _to_8_bits(grey: np.ndarray, full_scale: float) -> np.ndarray:
    """Grey values → uint8 `(height, width)`; Pillow's own convert() clips."""
    if grey.dtype.kind == "u" and grey.dtype.itemsize == 2:
        # A table of all values there are, which is ten times as fast as computing with each.
        return _scaled(np.arange(65_536), full_scale)[grey]
    return _scaled(grey, full_scale)


def _scaled(grey: np.ndarray, full_scale: float) -> np.ndarray:
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0).clip(min=0.0)
    return np.round(values * (255.0 / full_scale)).clip(max=255.0).astype(np.uint8)


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
