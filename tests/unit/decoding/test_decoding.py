"""Pictures of strangers: the same pixels, within bounds of memory and time, whatever they hold."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from classifiers.decoding import decoder as decoder_module
from classifiers.decoding.decoder import MAX_DECODING_BYTES, PictureDecoder
from classifiers.decoding.needs import bytes_to_decode, webp_bytes_to_decode
from classifiers.decoding.process import Budget, Lane
from classifiers.decoding.worker import MAX_HEADER_BYTES, Channel
from classifiers.errors import BusyError, ImageError
from classifiers.images import open_picture
from classifiers.waiting_line import WaitingLine

pytestmark = pytest.mark.skipif(
    not decoder_module._CAN_HAND_OVER, reason="pictures are decoded in this process here"
)

MEMORY = 500_000_000  # bytes that all pictures together may add to the machine's use
SIZE = (224, 224)  # what most models look at
TOO_SLOW = "takes too long to decode"


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    made = PictureDecoder(n_quick=2)
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def scene(photo: Path) -> Image.Image:
    """A photograph of 720 × 480, small enough to be encoded in every format at once."""
    return open_picture(photo).resize((720, 480))


def file_of(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda p: file_of(p, "JPEG"),
    "progressive JPEG": lambda p: file_of(p, "JPEG", progressive=True),
    "grey JPEG": lambda p: file_of(p.convert("L"), "JPEG"),
    "CMYK JPEG": lambda p: file_of(p.convert("CMYK"), "JPEG"),
    "PNG": lambda p: file_of(p, "PNG", compress_level=1),
    "PNG with alpha": lambda p: file_of(p.convert("RGBA"), "PNG", compress_level=1),
    "palette PNG": lambda p: file_of(p.convert("P"), "PNG", compress_level=1),
    "16-bit PNG": lambda p: file_of(
        Image.fromarray(np.asarray(p.convert("L")).astype(np.uint16) * 257), "PNG", compress_level=1
    ),
    "1-bit PNG": lambda p: file_of(p.convert("1"), "PNG"),
    "WebP": lambda p: file_of(p, "WEBP", method=0),
    "lossless WebP": lambda p: file_of(p, "WEBP", lossless=True, method=0, quality=0),
    "WebP with alpha": lambda p: file_of(p.convert("RGBA"), "WEBP", method=0),
    "GIF": lambda p: file_of(p.convert("P"), "GIF"),
    "BMP": lambda p: file_of(p, "BMP"),
    "TIFF": lambda p: file_of(p, "TIFF"),
    "LZW TIFF": lambda p: file_of(p, "TIFF", compression="tiff_lzw"),
    "floating-point TIFF": lambda p: file_of(p.convert("F"), "TIFF"),
    "HEIC": lambda p: file_of(p, "HEIF"),
    "AVIF": lambda p: file_of(p, "AVIF", speed=10),
    "PPM": lambda p: file_of(p, "PPM"),
    "ICO": lambda p: file_of(p.resize((256, 256)), "ICO", sizes=[(256, 256)]),
}


# The same pixels


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("for_size", [None, (32, 32)], ids=["whole", "for a model"])
def test_a_picture_has_the_pixels_that_this_process_would_decode(
    decoder: PictureDecoder, scene: Image.Image, format: str, for_size: tuple[int, int] | None
) -> None:
    data = FORMATS[format](scene)
    ours, expected = decoder.open(data, for_size=for_size), open_picture(data, for_size=for_size)
    assert (ours.mode, ours.size) == (expected.mode, expected.size) and ours.mode == "RGB"
    assert np.array_equal(np.asarray(ours), np.asarray(expected))


def test_every_kind_of_source_is_taken(
    decoder: PictureDecoder, scene: Image.Image, tmp_path: Path
) -> None:
    data = file_of(scene, "JPEG")
    path = tmp_path / "scene.jpg"
    path.write_bytes(data)
    expected = np.asarray(open_picture(data))
    with (
        path.open("rb") as file,
        tempfile.SpooledTemporaryFile(max_size=10_000_000) as small,  # stays in memory
        tempfile.SpooledTemporaryFile(max_size=10) as large,  # goes to disk
    ):
        for spooled in (small, large):
            spooled.write(data)
            spooled.seek(0)
        sources: list[Any] = [path, str(path), data, file, io.BytesIO(data), small, large]
        sources += [Image.open(io.BytesIO(data)), np.asarray(Image.open(io.BytesIO(data)))]
        for source in sources:
            opened = np.asarray(decoder.open(source))
            assert np.array_equal(opened, expected), type(source)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"<svg></svg>",
        b"\xff\xd8\xff\xe0 cut",
        b"RIFF\x00\x00\x00\x00WEBPVP8X",
        b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(40),
        b"PK\x03\x04" + bytes(100),
    ],
    ids=lambda data: repr(data)[:24],
)
def test_what_is_no_picture_is_refused_by_the_same_sentence(
    decoder: PictureDecoder, data: bytes
) -> None:
    with pytest.raises(ImageError) as ours:
        decoder.open(data)
    with pytest.raises(ImageError) as expected:
        open_picture(data)
    assert str(ours.value) == str(expected.value)


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_is_cut_off_is_refused_by_the_same_sentence(
    decoder: PictureDecoder, scene: Image.Image, format: str
) -> None:
    data = FORMATS[format](scene)
    data = data[: len(data) // 2]
    try:
        expected = open_picture(data)
    except ImageError as error:
        with pytest.raises(ImageError) as ours:
            decoder.open(data)
        assert str(ours.value) == str(error)
    else:
        assert np.array_equal(np.asarray(decoder.open(data)), np.asarray(expected))


def test_what_is_no_file_is_refused(decoder: PictureDecoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path / "pipe", tmp_path, "/dev/zero", "a\0b"):
        with pytest.raises(ImageError, match="gone or cannot be read"):
            decoder.open(path)


# Memory


def png(width: int, height: int, depth: int, kind: int) -> bytes:
    """A black PNG that needs no memory to be made; `kind` is 0 for grey, 6 for RGBA."""
    row = 1 + (width * depth * {0: 1, 2: 3, 6: 4}[kind] + 7) // 8
    packer = zlib.compressobj(1)
    rows = bytes(row * 100)
    data = b"".join(packer.compress(rows) for _ in range(height // 100)) + packer.flush()

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def lying_icon() -> bytes:
    """Its directory says 16 × 16; what it holds has 100 megapixels."""
    inside = png(10_000, 10_000, 8, 6)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inside), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + inside


def float_tiff(side: int) -> bytes:
    return file_of(Image.new("F", (side, side)), "TIFF", compression="tiff_lzw")


HEAVY: dict[str, Callable[[], bytes]] = {
    "16-bit grey PNG": lambda: png(10_000, 10_000, 16, 0),
    "RGBA PNG": lambda: png(10_000, 10_000, 8, 6),
    "1-bit PNG": lambda: png(10_000, 10_000, 1, 0),
    "floating-point TIFF": lambda: float_tiff(10_000),
    "icon that lies": lying_icon,
    "lossless WebP": lambda: file_of(
        Image.new("RGB", (16_000, 6_000)), "WEBP", lossless=True, method=0, quality=0
    ),
}


def wait_until_started(decoder: PictureDecoder) -> None:
    """A process that takes another's place imports for a second, which is not to be measured."""
    with contextlib.ExitStack() as held, tempfile.TemporaryFile() as file:
        file.write(file_of(Image.new("L", (1, 1)), "BMP"))
        file.flush()
        for lane in (decoder._quick, decoder._large):
            for _ in range(lane._line.places):
                process = held.enter_context(lane.process())
                process.begin({"for_size": None}, file.fileno(), seconds=20)
                assert "needed" in process.receive()[0]
                process.leave_it()


@contextlib.contextmanager
def peak_memory(decoder: PictureDecoder) -> Iterator[Callable[[], int]]:
    """Bytes by which this process and its children grow at most, together."""
    wait_until_started(decoder)
    me = psutil.Process()

    def resident() -> int:
        total = 0
        for process in [me, *me.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                used = process.memory_full_info()
                total += used.pss  # what processes share counts once
        return total

    before, peak, done = resident(), 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield lambda: peak - before
    finally:
        done.set()
        sampler.join()


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files are made once, so that their making is not measured."""
    folder = tmp_path_factory.mktemp("heavy")

    def made(name: str) -> Path:
        path = folder / name
        if not path.exists():
            path.write_bytes(HEAVY[name]())
        return path

    return made


def picture_or_sentence(decoder: PictureDecoder, path: Path) -> str:
    try:
        picture = decoder.open(path, for_size=SIZE)
    except (ImageError, BusyError) as error:
        assert str(error).endswith("."), error
        return str(error)
    assert picture.mode == "RGB"
    return "a picture"


@pytest.mark.parametrize("name", HEAVY)
def test_a_picture_that_asks_for_gigabytes_does_not_get_them(
    decoder: PictureDecoder, heavy: Callable[[str], Path], name: str
) -> None:
    path = heavy(name)
    with peak_memory(decoder) as grown:
        answer = picture_or_sentence(decoder, path)
    # Pillow decodes an icon to know its size, so it gets no more than a header may take.
    bound = MEMORY if name != "icon that lies" else 2 * MAX_HEADER_BYTES
    assert grown() < bound, f"{grown() / 1e6:.0f} MB"
    # The system holds the icon to what it said; of the WebP it is known before.
    is_refused = "of memory to decode" in answer
    assert is_refused == (name in ("icon that lies", "lossless WebP")), answer


def test_four_such_pictures_at_once_share_what_one_may_take(
    decoder: PictureDecoder, heavy: Callable[[str], Path]
) -> None:
    paths = [heavy(name) for name in ("RGBA PNG", "16-bit grey PNG", "RGBA PNG", "icon that lies")]
    with peak_memory(decoder) as grown, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda path: picture_or_sentence(decoder, path), paths))
    assert grown() < MEMORY, f"{grown() / 1e6:.0f} MB"
    assert answers[:3] == ["a picture"] * 3 and "of memory to decode" in answers[3]


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"ICO", "GIF"}))
def test_a_camera_s_picture_is_decoded_within_what_it_says_it_needs(
    decoder: PictureDecoder, scene: Image.Image, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held to the estimate by the system; else it goes to the lane of those that need all."""
    picture = scene.resize((4000, 3000), Image.Resampling.NEAREST)
    # HEIC takes half a minute to be written, unless little is in it.
    data = FORMATS[format](picture if format != "HEIC" else Image.new("RGB", picture.size))
    monkeypatch.setattr(decoder_module, "_ALL", None)  # whoever comes to it fails
    assert decoder.open(data, for_size=SIZE).mode == "RGB"
    assert decoder.open(data).size == (4000, 3000)


def test_the_estimate_counts_what_a_decoder_keeps_of_the_whole_picture(scene: Image.Image) -> None:
    """A progressive JPEG keeps all coefficients however small it is decoded."""

    def needed(data: bytes) -> int:
        with Image.open(io.BytesIO(data)) as picture:
            full_size = picture.size
            picture.draft(None, (90, 60))
            return bytes_to_decode(picture, full_size, (32, 32))

    plain, progressive = (needed(FORMATS[name](scene)) for name in ("JPEG", "progressive JPEG"))
    assert progressive - plain >= 720 * 480 * 3  # 16 bits, colours at a quarter


@pytest.mark.parametrize("format", ["WebP", "lossless WebP", "WebP with alpha"])
def test_the_size_of_a_webp_is_read_from_its_first_bytes(scene: Image.Image, format: str) -> None:
    assert webp_bytes_to_decode(FORMATS["PNG"](scene)[:30], None) is None
    small, large = (
        webp_bytes_to_decode(FORMATS[format](picture)[:30], None)
        for picture in (scene, scene.resize((1440, 960)))
    )
    assert small is not None and large is not None
    # Four times the pixels, beside what is needed for none at all.
    assert large - small == pytest.approx(3 * 720 * 480 * (4 + 11 + 8), rel=1e-3)


# Time


def endless_jpeg() -> bytes:
    """A progressive JPEG whose last scan comes four thousand times: minutes of work."""
    data = file_of(Image.effect_noise((2000, 2000), 90).convert("RGB"), "JPEG", progressive=True)
    end = data.rindex(b"\xff\xd9")
    last = data.rindex(b"\xff\xda")
    return data[:end] + data[last:end] * max(1, 40_000_000 // (end - last)) + b"\xff\xd9"


def plain_text_ppm() -> bytes:
    """Numbers in text, which Pillow reads in Python."""
    return b"P3\n4000 4000\n255\n" + b"1 2 3\n" * (4000 * 1000)


def jpeg_of_many_scans() -> bytes:
    """Of one colour, so that a hundred scans of 64 megapixels are a small file."""
    data = file_of(Image.new("L", (8000, 8000), 77), "JPEG", progressive=True)
    end, last = data.rindex(b"\xff\xd9"), data.rindex(b"\xff\xda")
    return data[:end] + data[last:end] * 100 + b"\xff\xd9"


@pytest.mark.parametrize("make", [jpeg_of_many_scans, plain_text_ppm])
def test_what_would_take_too_long_is_refused_by_what_its_file_shows(
    decoder: PictureDecoder, make: Callable[[], bytes]
) -> None:
    workers = set(children())
    with pytest.raises(ImageError, match=TOO_SLOW):
        decoder.open(make(), for_size=SIZE)
    assert set(children()) == workers, "it was begun, and its process had to be ended"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is begun, and little time is given."""
    for name in ("_QUICK", "_LARGE", "_ALL"):
        bounds = replace(getattr(decoder_module, name), seconds=0.3, pixels=1 << 60)
        monkeypatch.setattr(decoder_module, name, bounds)


@pytest.mark.parametrize("make", [endless_jpeg, plain_text_ppm])
def test_a_picture_that_never_ends_is_stopped_and_others_do_not_wait_for_it(
    decoder: PictureDecoder, scene: Image.Image, impatient: None, make: Callable[[], bytes]
) -> None:
    data, ordinary = make(), file_of(scene, "JPEG")
    workers = set(children())
    with ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        slow = pool.submit(decoder.open, data, for_size=SIZE)
        n_meanwhile = 0
        while not slow.done():
            assert decoder.open(ordinary, for_size=SIZE).size
            n_meanwhile += 1
        with pytest.raises(ImageError, match=TOO_SLOW):
            slow.result()
    assert n_meanwhile > 1, "an ordinary picture waited for it"
    # Two lanes of 0.3 s of computing, four times as long on a machine that does other things.
    assert time.monotonic() - begun < 2 * 4 * 0.3 + 5
    assert len(children()) == len(workers) and set(children()) != workers, "none was replaced"
    assert decoder.open(ordinary, for_size=SIZE).size


# Processes


def children() -> list[int]:
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "classifiers.decoding.worker" in process.cmdline():
                found.append(process.pid)
    return found


def test_a_process_that_is_killed_costs_one_picture_at_most(
    decoder: PictureDecoder, scene: Image.Image
) -> None:
    data = file_of(scene, "JPEG")
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    n_refused = 0
    for _ in range(8):
        try:
            decoder.open(data)
        except ImageError as error:
            assert str(error).endswith(".")
            n_refused += 1
    assert n_refused <= 2, "more than were killed"
    assert decoder.open(data).size == scene.size


def test_what_kills_its_process_is_called_damaged(
    scene: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = PictureDecoder(n_quick=1)
    decoder.start()
    begin = decoder_module.Lane.process

    @contextlib.contextmanager
    def killed(lane: Lane) -> Iterator[Any]:
        with begin(lane) as process:
            receive = process.receive

            def crash() -> Any:
                process._process.kill()
                process._process.wait()
                return receive()

            process.receive = crash
            yield process

    try:
        with monkeypatch.context() as patch:
            patch.setattr(decoder_module.Lane, "process", killed)
            with pytest.raises(ImageError, match="damaged"):
                decoder.open(file_of(scene, "BMP"))
        assert decoder.open(file_of(scene, "BMP")).size == scene.size
    finally:
        decoder.close()


def test_no_process_is_left_after_closing(scene: Image.Image) -> None:
    before = set(children())
    decoder = PictureDecoder(n_quick=2)
    decoder.start()
    assert len(set(children()) - before) == 3
    decoder.open(file_of(scene, "PNG"))
    decoder.close()
    assert set(children()) == before


def test_a_process_ends_when_its_server_does() -> None:
    """As after kill -9 of the server: the socket closes, and nobody is left behind."""
    lane = Lane("pictures", 1, max_waiting=1, niceness=0)
    lane.start()
    with lane.process() as process:
        process._channel.connection.close()
        assert process._process.wait(timeout=20) == 0
        process.is_free = False
    lane.close()


def test_messages_that_come_at_once_are_told_apart(tmp_path: Path) -> None:
    """As when a picture is left to the other lane, and the next one is there already."""
    (tmp_path / "picture").write_bytes(b"the next picture")
    ours, theirs = (Channel(end) for end in socket.socketpair())
    with ours.connection, theirs.connection, open(tmp_path / "picture", "rb") as picture:
        ours.send({"go": False})
        ours.send({"for_size": [1, 2]}, picture.fileno())
        ours.send({"go": True})
        assert theirs.receive() == ({"go": False}, None)
        request, file = theirs.receive()
        assert request == {"for_size": [1, 2]} and file is not None
        with os.fdopen(file, "rb") as received:
            assert received.read() == b"the next picture"
        assert theirs.receive() == ({"go": True}, None)


def test_who_finds_the_line_full_is_told_to_come_back(scene: Image.Image) -> None:
    decoder = PictureDecoder(n_quick=1)
    decoder._quick._line = WaitingLine("pictures", 1, max_waiting=0, max_seconds=30)
    try:
        with decoder._quick.process(), pytest.raises(BusyError, match="busy with pictures"):
            decoder.open(file_of(scene, "BMP"))
        assert decoder.open(file_of(scene, "BMP")).size
    finally:
        decoder.close()


def test_who_needs_little_passes_who_waits_for_much() -> None:
    budget = Budget(100, max_seconds=20)
    with ThreadPoolExecutor(1) as pool:
        with budget.share() as take, budget.share() as take_little:
            take(60)
            take(80)

            def ask() -> int:
                with budget.share() as take:
                    take(90)
                    return budget._free

            large = pool.submit(ask)
            take_little(20)
            assert not large.done()
        assert large.result(20) == 10
    assert budget._free == 100


def test_a_large_picture_leaves_room_for_a_photograph(scene: Image.Image) -> None:
    """The largest that is decoded at all, and a JPEG of 12 megapixels beside it."""
    photograph = file_of(scene.resize((4000, 3000)), "JPEG")
    decoder = PictureDecoder(n_quick=1)
    try:
        with decoder._budget.share() as take:
            take(MAX_DECODING_BYTES)
            decoder._budget._max_seconds = 0.05
            assert decoder.open(photograph, for_size=(224, 224)).size == (1000, 750)
    finally:
        decoder.close()


def test_each_picture_takes_what_it_needs_from_the_budget_of_all(scene: Image.Image) -> None:
    decoder = PictureDecoder(n_quick=1)
    try:
        decoder._budget = Budget(1_000_000, max_seconds=0.05)
        with pytest.raises(BusyError, match="busy with large pictures"):
            decoder.open(file_of(scene, "BMP"))
        assert decoder._budget._free == 1_000_000
        decoder._budget = Budget(100_000_000)
        assert decoder.open(file_of(scene, "BMP")).size == scene.size
        assert decoder._budget._free == 100_000_000
    finally:
        decoder.close()


def test_too_little_memory_for_too_long_is_told() -> None:
    budget = Budget(100, max_seconds=0.05)
    with budget.share() as take, budget.share() as take_more:
        take(60)
        with pytest.raises(BusyError):
            take_more(50)
        take_more(40)
    assert budget._free == 100
