"""Any upload becomes an upright RGB picture, or one sentence that says what to do."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from classifiers.errors import ImageError
from classifiers.images import MAX_IMAGE_PIXELS, open_picture

# A JPEG at quality 95 moves the flat colours of these pictures by a few levels of 255;
# HEIC, AVIF and lossy WebP by up to twice as many.
JPEG_LEVELS, LOSSY_LEVELS = 6, 12


def four_corners(width: int = 64, height: int = 48) -> Image.Image:
    """Red and green above, blue and white below: any turn or flip shows."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    return Image.fromarray(pixels)


def file_of(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def assert_upright(picture: Image.Image, levels: int = 0) -> None:
    assert picture.mode == "RGB"
    assert picture.size == (64, 48), f"the picture came out as {picture.size}"
    expected = four_corners()
    for at in ((8, 8), (56, 8), (8, 40), (56, 40)):
        got, want = picture.getpixel(at), expected.getpixel(at)
        off = max(abs(a - b) for a, b in zip(got, want, strict=True))
        assert off <= levels, f"at {at} a person would see {got} instead of {want}"


def refusal(source: object) -> str:
    """The message of the ImageError: one sentence for a visitor, no path of the server."""
    with pytest.raises(ImageError) as caught:
        open_picture(source)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.endswith("."), message
    assert "\n" not in message and ". " not in message, f"more than a sentence: {message}"
    return message


# ------------------------------------------------------------------------------ formats


@pytest.mark.parametrize(
    ("format", "options", "levels"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("GIF", {}, 0),
        ("PPM", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, JPEG_LEVELS),
        ("WEBP", {"quality": 95}, LOSSY_LEVELS),
        ("HEIF", {"quality": 95}, LOSSY_LEVELS),
        ("AVIF", {"quality": 95}, LOSSY_LEVELS),
    ],
)
def test_every_format_of_phones_and_browsers_is_read(
    format: str, options: dict[str, object], levels: int
) -> None:
    assert_upright(open_picture(file_of(four_corners(), format, **options)), levels)


def test_a_phone_s_picture_with_several_views_gives_its_first() -> None:
    second = Image.new("RGB", (64, 48), "black")
    data = file_of(four_corners(), "MPO", save_all=True, append_images=[second], quality=95)
    assert_upright(open_picture(data), JPEG_LEVELS)


def test_the_name_of_a_file_does_not_matter_but_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(file_of(four_corners(), "PNG"))
    assert_upright(open_picture(path))
    assert_upright(open_picture(str(path)))


def test_path_bytes_open_file_picture_and_array_are_all_taken(tmp_path: Path) -> None:
    data = file_of(four_corners(), "PNG")
    (tmp_path / "picture.png").write_bytes(data)
    with open(tmp_path / "picture.png", "rb") as file:
        assert_upright(open_picture(file))
    assert_upright(open_picture(data))
    assert_upright(open_picture(io.BytesIO(data)))
    assert_upright(open_picture(four_corners()))
    assert_upright(open_picture(np.asarray(four_corners())))


def test_a_grey_array_and_one_with_alpha_become_rgb() -> None:
    assert open_picture(np.full((2, 3), 77, np.uint8)).getpixel((0, 0)) == (77, 77, 77)
    clear = np.zeros((2, 3, 4), np.uint8)
    assert open_picture(clear).getpixel((0, 0)) == (255, 255, 255), "transparent is not white"


def test_changing_the_answer_leaves_the_picture_that_was_given_alone() -> None:
    given = four_corners()
    open_picture(given).putpixel((0, 0), (1, 2, 3))
    assert given.getpixel((0, 0)) == (255, 0, 0)


# ------------------------------------------------------------------------ colours, alpha


def test_a_cmyk_photograph_shows_its_colours() -> None:
    data = file_of(four_corners().convert("CMYK"), "JPEG", quality=95)
    assert_upright(open_picture(data), LOSSY_LEVELS)


def test_a_16_bit_grey_png_is_scaled_and_not_clipped_to_white() -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(1, -1)
    data = file_of(Image.fromarray(ramp), "PNG")
    got = np.asarray(open_picture(data))[0, :, 0]
    np.testing.assert_allclose(got, np.arange(256), atol=1)  # rounding


def test_a_dark_16_bit_picture_stays_dark() -> None:
    for mode in ("I;16", "I;16B"):  # both byte orders of a TIFF
        dark = np.full((4, 4), 200, "<u2" if mode == "I;16" else ">u2")
        picture = Image.frombytes(mode, (4, 4), dark.tobytes())
        assert open_picture(picture).getpixel((0, 0)) == (1, 1, 1), f"{mode} came out bright"


@pytest.mark.parametrize("full_scale", [1.0, 255.0, 65_535.0])
def test_a_floating_point_tiff_is_read_in_whichever_range_it_is(full_scale: float) -> None:
    ramp = np.linspace(0.0, full_scale, 256, dtype=np.float32).reshape(1, -1)
    got = np.asarray(open_picture(file_of(Image.fromarray(ramp), "TIFF")))[0, :, 0]
    np.testing.assert_allclose(got, np.arange(256), atol=1)  # rounding


def test_a_16_bit_tiff_and_a_32_bit_one_are_read() -> None:
    ramp = np.linspace(0, 65_535, 256).reshape(1, -1)
    for dtype in (np.uint16, np.int32):
        data = file_of(Image.fromarray(ramp.astype(dtype)), "TIFF")
        got = np.asarray(open_picture(data))[0, :, 0]
        np.testing.assert_allclose(got, np.arange(256), atol=1, err_msg=str(dtype))  # rounding


def test_not_a_number_in_a_floating_point_tiff_is_black() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, -4.0, 1.0]], np.float32)
    got = np.asarray(open_picture(file_of(Image.fromarray(values), "TIFF")))[0, :, 0]
    assert got.tolist() == [0, 0, 0, 0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_on_white(mode: str) -> None:
    picture = Image.new(mode, (4, 4), 0)
    assert open_picture(file_of(picture, "PNG")).getpixel((1, 1)) == (255, 255, 255)


def test_half_transparent_black_on_white_is_grey() -> None:
    data = file_of(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")
    assert open_picture(data).getpixel((1, 1)) == (127, 127, 127)


def test_a_palette_with_transparency_lies_on_white() -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([255, 0, 0, 0, 128, 0])
    picture.putpixel((0, 0), 0)
    opened = open_picture(file_of(picture, "PNG", transparency=0))
    assert opened.getpixel((0, 0)) == (255, 255, 255), "the transparent colour shows"
    assert opened.getpixel((1, 1)) == (0, 128, 0)


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (255, 0, 0)), ("L", 9), ("1", 0)])
def test_one_transparent_colour_of_a_png_without_alpha_lies_on_white(
    mode: str, colour: object
) -> None:
    data = file_of(Image.new(mode, (4, 4), colour), "PNG", transparency=colour)  # type: ignore[arg-type]
    assert open_picture(data).getpixel((1, 1)) == (255, 255, 255)


# ---------------------------------------------------------------- animations, orientation


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("black", "yellow")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_of(four_corners(), format, save_all=True, append_images=frames, **options)
    assert_upright(open_picture(data))


# What a camera stores for each orientation, so that turning it by the EXIF rule is upright.
STORED = {
    1: lambda p: p,
    2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda p: p.rotate(180),
    4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.rotate(90, expand=True),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.rotate(-90, expand=True),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_upright_however_the_phone_was_held(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = STORED[orientation](four_corners())
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_of(stored, format, exif=exif, **options)
    assert_upright(open_picture(data), JPEG_LEVELS)


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_a_photo_whose_format_turns_by_itself_is_not_turned_twice(format: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = STORED[6](four_corners())
    data = file_of(stored, format, exif=exif.tobytes(), quality=95)
    assert_upright(open_picture(data), LOSSY_LEVELS)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert_upright(open_picture(file_of(four_corners(), "PNG", exif=exif)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_photo_with_damaged_exif_still_opens() -> None:
    # An orientation, and behind it a number that is stored as text: no longer to be written.
    odd = b"Exif\0\0MM\0*\0\0\0\x08\0\2\1\x12\0\3\0\0\0\1\0\6\0\0\1\0\0\2\0\0\0\4abc\0\0\0\0\0"
    turned = file_of(STORED[6](four_corners()), "JPEG", quality=95, exif=odd)
    assert_upright(open_picture(turned), JPEG_LEVELS)
    data = file_of(four_corners(), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert_upright(open_picture(data), JPEG_LEVELS)


# ----------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"])
def test_a_truncated_picture_is_refused_with_advice(format: str, photo: Path) -> None:
    with Image.open(photo) as lion:
        data = file_of(lion.convert("RGB").resize((200, 150)), format)
    message = refusal(data[: len(data) * 6 // 10])
    assert "again" in message or "use JPEG" in message, message


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refusal(tmp_path / "empty.jpg")
    assert "empty" in refusal(b"")


def test_text_called_jpg_is_no_picture_and_the_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("Dear diary, today I took no picture.\n" * 50)
    message = refusal(tmp_path / "notes.jpg")
    assert "not a picture" in message and "JPEG" in message


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>',
        b"  \n\t \n<SVG>",
        b"<?xml version='1.0'?><!-- drawn by hand -->\r\n<svg onload='alert(1)'/>",
    ],
)
def test_an_svg_is_called_a_drawing(data: bytes) -> None:
    message = refusal(data)
    assert "SVG" in message and "PNG" in message


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",  # starts Ghostscript
        b"%PDF-1.7\n",
        b"\x80\x04\x95cos\nsystem\n",
        b"\0" * 4096,
    ],
)
def test_other_kinds_of_file_are_refused(data: bytes) -> None:
    assert "not a picture" in refusal(data)


def png_of_zeros(width: int, height: int) -> bytes:
    """A black 1-bit PNG, made a row at a time: 20,000 × 20,000 are some 50 kB."""
    compressor = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    data = png_of_zeros(*size)
    assert len(data) < 200_000, "the bomb is meant to be a small file"
    tracemalloc.start()
    started = time.monotonic()
    message = refusal(data)
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "megapixels" in message and "smaller" in message
    # Reading the header takes milliseconds and kilobytes; decoding seconds and 50 MB.
    assert seconds < 1.0 and peak < 10_000_000, f"{seconds:.1f} s, {peak:,} bytes"


def test_a_bomb_within_the_limit_of_pillow_s_own_warning_makes_no_noise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(png_of_zeros(9_999, 9_999)).size == (9_999, 9_999)
    assert MAX_IMAGE_PIXELS >= 9_999 * 9_999


def test_a_picture_of_one_pixel_is_a_picture() -> None:
    opened = open_picture(file_of(Image.new("RGB", (1, 1), "teal"), "PNG"))
    assert (opened.mode, opened.size, opened.getpixel((0, 0))) == ("RGB", (1, 1), (0, 128, 128))


def test_an_array_without_pixels_is_refused() -> None:
    assert "no pixels" in refusal(np.zeros((0, 4), np.uint8))


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "gone.jpg",
        lambda folder: str(folder / "gone.jpg"),
        lambda folder: folder,  # a directory
        lambda folder: folder / ("x" * 300 + ".jpg"),  # longer than file names may be
        lambda folder: f"{folder}/a\0b.jpg",
    ],
)
def test_a_path_that_cannot_be_read_is_refused_without_naming_the_server_s_folders(
    make: Callable[[Path], str | Path], tmp_path: Path
) -> None:
    message = refusal(make(tmp_path))
    assert str(tmp_path) not in message and tmp_path.name not in message, message
    assert "again" in message


def test_a_picture_object_whose_file_is_cut_off_is_refused_too(photo: Path) -> None:
    data = photo.read_bytes()
    lazy = Image.open(io.BytesIO(data[: len(data) // 2]))
    assert "again" in refusal(lazy)


# Pillow warns of what is odd in a file, which is what these pictures are made of.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"])
def test_damage_anywhere_gives_a_picture_or_a_sentence_and_never_a_traceback(format: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {} if format in ("GIF", "BMP") else {"exif": exif}
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    intact = np.frombuffer(file_of(Image.fromarray(noise), format, **options), np.uint8)
    random = np.random.default_rng(1)
    for _ in range(60):
        damaged = intact.copy()
        # The first bytes decide most, so half of the damage is done there.
        reach = len(damaged) if random.random() < 0.5 else min(len(damaged), 200)
        at = random.integers(0, reach, random.integers(1, 6))
        damaged[at] = random.integers(0, 256, len(at))
        with contextlib.suppress(ImageError):
            assert open_picture(damaged.tobytes()).mode == "RGB"


# ------------------------------------------------------------------- no larger than needed


@pytest.mark.parametrize(
    ("width", "height", "size", "decoded"),
    [
        (4000, 3000, 64, (500, 375)),
        (4000, 3000, 224, (1000, 750)),
        (4000, 3000, 336, (2000, 1500)),
        (600, 600, 224, (600, 600)),
        # 640 × 1,019 halved is 320 × 510: at 64 pixels 102 high where the whole is 101.
        (640, 1019, 64, (640, 1019)),
    ],
)
def test_a_jpeg_is_decoded_as_large_as_a_model_needs(
    width: int, height: int, size: int, decoded: tuple[int, int]
) -> None:
    data = file_of(four_corners(width, height), "JPEG")
    assert open_picture(data, for_size=(size, size)).size == decoded


def test_a_turned_jpeg_is_upright_when_it_is_decoded_smaller() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the camera was held upright
    turned = four_corners(640, 480).transpose(Image.Transpose.ROTATE_90)
    data = file_of(turned, "JPEG", exif=exif, quality=95)
    picture = open_picture(data, for_size=(20, 20))
    assert picture.size == (80, 60)
    assert_upright(picture.resize((64, 48)), LOSSY_LEVELS)


def test_a_png_is_decoded_whole() -> None:
    data = file_of(four_corners(800, 600), "PNG")
    assert open_picture(data, for_size=(64, 64)).size == (800, 600)
