"""The process that decodes pictures of strangers: bounded in memory, and stopped from outside.

Started by `process`.  For each picture it is sent a line of JSON with the open file; it
answers with what decoding needs, waits to be told to go on, and sends the pixels as a file in
memory.  Knows no folder of the server and opens nothing by name.

    python -m classifiers.decoding.worker SOCKET NICENESS    # the number of an inherited socket
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any, BinaryIO

from PIL import Image

from classifiers.decoding.needs import (
    WEBP_HEADER_BYTES,
    bytes_to_decode,
    pixels_to_visit,
    webp_bytes_to_decode,
)
from classifiers.errors import ImageError
from classifiers.files import unnamed_file
from classifiers.images import open_picture
from classifiers.process_tuning import keep_freed_memory

if sys.platform != "win32":
    import resource

MESSAGE_BYTES = 65_536
MAX_HEADER_BYTES = 64_000_000  # before it is known what decoding needs
_KEPT_BYTES = 32 << 20  # of a photograph's, for the next one
_BYTES_AT_ONCE = 8_000_000  # a small picture is handed over in one piece


class Stopped(Exception):
    """The other side does not want this picture decoded here."""


class Channel:
    """Lines of JSON, each with at most one open file, over a socket of this machine."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines: list[bytes] = []  # that have come and were not asked for yet
        self._file: int | None = None  # of the last of them

    def send(self, message: dict[str, Any], file: int | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        socket.send_fds(self.connection, [data], [] if file is None else [file])

    def receive(self) -> tuple[dict[str, Any], int | None]:
        """The next message and its file.

        Raises:
            EOFError: the other side is gone.
            TimeoutError: nothing came within the socket's time limit.
        """
        if not self._lines:
            self._wait()
        line = self._lines.pop(0)
        file = None
        if not self._lines:
            file, self._file = self._file, None
        return json.loads(line), file

    def _wait(self) -> None:
        """Takes what has come, which may be several messages: a file ends what comes at once."""
        data, files, _, _ = socket.recv_fds(self.connection, MESSAGE_BYTES, 1)
        while not data.endswith(b"\n"):
            more = self.connection.recv(MESSAGE_BYTES) if data else b""
            if not more:  # the other side ended, perhaps within a line
                for file in files:
                    os.close(file)
                raise EOFError
            data += more
        self._lines = data.splitlines()
        self._file = files[0] if files else None


class MemoryLimit:
    """What the system lets this process take beyond what it has now.  Only Linux keeps it."""

    def __init__(self, n_bytes: int) -> None:
        self._before = _data_bytes()
        self.change(n_bytes)

    def change(self, n_bytes: int) -> None:
        if self._before is not None:
            self._set(self._before + n_bytes)

    def lift(self) -> None:
        if self._before is not None:
            self._set(resource.RLIM_INFINITY)

    @staticmethod
    def _set(limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))


def _data_bytes() -> int | None:
    """Memory that this process may write to, as RLIMIT_DATA counts it."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmData:"))
    except (OSError, StopIteration):  # not Linux
        return None
    return int(line.split()[1]) * 1024


def serve(channel: Channel) -> None:
    """Decodes one picture after the other until the other side closes."""
    # For the pixels of all small pictures: to have new memory cleared takes a while.  The other
    # side has read one before it sends the next.
    kept = unnamed_file()
    while True:
        try:
            request, file = channel.receive()
        except (EOFError, ConnectionError):
            return
        if file is None:
            return
        with os.fdopen(file, "rb") as picture:
            try:
                _answer(channel, request, picture, kept)
            except (Stopped, ConnectionError):
                continue


def _answer(channel: Channel, request: dict[str, Any], file: BinaryIO, kept: BinaryIO) -> None:
    limit = MemoryLimit(MAX_HEADER_BYTES)
    try:
        picture = _decode(channel, request, file, limit)
    except ImageError as error:
        channel.send({"error": str(error)})
    except MemoryError:
        limit.lift()
        channel.send({"out_of_memory": True})
    else:
        _hand_over(channel, picture, kept)
    finally:
        limit.lift()


def _decode(
    channel: Channel, request: dict[str, Any], file: BinaryIO, limit: MemoryLimit
) -> Image.Image:
    size = request["for_size"]
    for_size = None if size is None else (size[0], size[1])

    def ask(needed: int, to_visit: int) -> None:
        channel.send({"needed": needed, "pixels_to_visit": to_visit})
        answer, _ = channel.receive()
        if not answer["go"]:
            raise Stopped
        limit.change(answer["max_bytes"])

    file.seek(0)
    webp_bytes = webp_bytes_to_decode(file.read(WEBP_HEADER_BYTES), for_size)
    if webp_bytes is not None:
        ask(webp_bytes, 0)

    def ask_by_header(picture: Image.Image, full_size: tuple[int, int]) -> None:
        if webp_bytes is None:
            needed = bytes_to_decode(picture, full_size, for_size)
            ask(needed, pixels_to_visit(picture, full_size, file))

    file.seek(0)
    return open_picture(file, for_size=for_size, before_decoding=ask_by_header)


def _hand_over(channel: Channel, picture: Image.Image, kept: BinaryIO) -> None:
    """Sends the pixels, uint8 `(height, width, 3)`, as a file without a name."""
    if 3 * picture.width * picture.height <= _KEPT_BYTES:
        kept.seek(0)
        _write_pixels(picture, kept)
        channel.send({"size": picture.size}, kept.fileno())
        return
    with unnamed_file() as file:
        _write_pixels(picture, file)
        channel.send({"size": picture.size}, file.fileno())


def _write_pixels(picture: Image.Image, file: BinaryIO) -> None:
    rows = max(1, _BYTES_AT_ONCE // (3 * picture.width))
    for top in range(0, picture.height, rows):
        bottom = min(picture.height, top + rows)
        strip = picture.crop((0, top, picture.width, bottom)) if rows < picture.height else picture
        file.write(strip.tobytes())
    file.flush()


def main() -> None:
    # A picture that crashes a decoder should not leave a dump of memory behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(int(sys.argv[2]))
    keep_freed_memory(_KEPT_BYTES)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(Channel(connection))


if __name__ == "__main__":
    main()
