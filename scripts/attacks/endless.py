"""Bodies that never end, or come a byte a second; given up after a time."""

from __future__ import annotations

import itertools
import threading

from attacks.client import Answer
from attacks.judge import by_others
from attacks.raw_request import raw
from attacks.server import Server

BLOCK = 1_000_000


def _chunked(block: bytes) -> bytes:
    return f"{len(block):x}\r\n".encode() + block + b"\r\n"


UPLOAD = (
    "/gradio_api/upload",
    "multipart/form-data; boundary=b",
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="p"\r\n\r\n',
)
ADDRESSES = (
    UPLOAD,
    ("/api/v1/heads", "application/json", b'{"classes": ["'),
    ("/api/v1/classify", "multipart/form-data; boundary=b",
     b'--b\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'),
    ("/gradio_api/queue/join", "application/json", b'{"data": ["'),
)  # fmt: skip


def endless(server: Server, seconds: float) -> list[Answer]:
    """No length announced, and as fast as it goes; at most 2 GB."""
    answers = []
    for path, kind, first in ADDRESSES:
        head = f"POST {path} HTTP/1.1\nContent-Type: {kind}\nTransfer-Encoding: chunked"
        chunks = itertools.chain([_chunked(first)], itertools.repeat(_chunked(b"a" * BLOCK), 2_000))
        answers.append(by_others(raw(server, head, chunks, seconds=seconds / 2)))
    return answers


def slow(server: Server, seconds: float) -> list[Answer]:
    """A hundred connections at once, a byte a second each."""
    answers: list[Answer] = []

    def trickle(n: int) -> None:
        path, kind, first = ADDRESSES[n % len(ADDRESSES)]
        head = f"POST {path} HTTP/1.1\nContent-Type: {kind}\nContent-Length: 1000000"
        chunks = itertools.chain([first], itertools.repeat(b"a"))
        answers.append(by_others(raw(server, head, chunks, seconds=seconds, pause=1.0)))

    threads = [threading.Thread(target=trickle, args=(n,), daemon=True) for n in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=seconds + 10)
    return list(answers)
