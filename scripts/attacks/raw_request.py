"""Requests as bytes: bodies that no HTTP client would send, and answers that come before them."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable

from attacks.client import Answer, kind_of
from attacks.server import Server


def raw(
    server: Server, head: str, chunks: Iterable[bytes], *, seconds: float, pause: float = 0.0
) -> Answer:
    """A request as bytes, read while it is sent: a server may refuse before it has all.

    Args:
        head: request line and headers, lines ended by newlines; Host is added.
        chunks: the body; sent until they end, the time is over, or the server answers.
        pause: seconds between two chunks.
    """
    begun = time.monotonic()
    deadline = begun + seconds
    lines = [*head.strip().split("\n"), f"Host: 127.0.0.1:{server.port}", "", ""]
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        try:
            connection.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape"))
            for chunk in chunks:
                if time.monotonic() > deadline:
                    break
                connection.sendall(chunk)
                if pause:
                    time.sleep(pause)
                connection.settimeout(0.0)
                try:
                    answer = connection.recv(65_536)
                    break  # it has decided
                except BlockingIOError:
                    pass
                finally:
                    connection.settimeout(max(0.5, deadline - time.monotonic()))
        except OSError:
            pass  # closed for writing; the answer may still be there
        try:
            while not _is_whole(answer):
                connection.settimeout(max(0.5, deadline - time.monotonic()))
                more = connection.recv(65_536)
                if not more:
                    break
                answer += more
        except TimeoutError:
            return Answer("hangs", time.monotonic() - begun)
        except OSError as error:
            return Answer("closed", time.monotonic() - begun, repr(error))
    passed = time.monotonic() - begun
    if not answer.startswith(b"HTTP/1.1 "):
        return Answer("closed", passed)
    retry = "yes" if b"retry-after:" in answer.lower() else ""
    body = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
    return Answer(kind_of(int(answer[9:12])), passed, body, retry)


def _is_whole(answer: bytes) -> bool:
    """Whether an answer has come with all of its body, as far as its length is announced."""
    headers, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", headers)
    return bool(end) and (length is None or len(body) >= int(length[1]))
