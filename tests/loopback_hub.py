"""A Hugging Face hub on loopback: serves the files of a folder, well or badly.

Answers HEAD and GET of `/<org>/<repo>/resolve/<revision>/<file>` as the hub does, ranges
included, and can be told to be slow, to cut a connection, to lie about a hash, or to refuse.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLOCK_BYTES = 64 * 1024


class LoopbackHub:
    """The server and what it was asked.

    Attributes:
        cut_after: the next GET of the weights ends after so many bytes (then None again).
        seconds_per_block: makes the weights arrive slowly.
        wrong_hash: the weights are announced under a hash that they do not have.
        refuse: status that every request is answered with.
        requests: `(method, file name, Range header)` of all requests so far.
    """

    def __init__(self, folder: Path, repository: str) -> None:
        self.folder, self.repository = folder, repository
        self.cut_after: int | None = None
        self.seconds_per_block = 0.0
        self.wrong_hash = False
        self.refuse: int | None = None
        self.gated = False
        self.requests: list[tuple[str, str, str]] = []
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def gets(self, name: str) -> list[tuple[str, str, str]]:
        return [request for request in self.requests if request[:2] == ("GET", name)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub = self.owner
        match = re.fullmatch(rf"/{hub.repository}/resolve/[^/]+/([^/?]+)(\?.*)?", self.path)
        name = match.group(1) if match else self.path
        hub.requests.append((self.command, name, self.headers.get("Range", "")))
        if hub.refuse is not None:
            self._refuse(hub.refuse, "GatedRepo" if hub.gated else "RepoNotFound")
        elif match is None:
            self._refuse(404, "RepoNotFound")
        elif not (hub.folder / name).is_file():
            self._refuse(404, "EntryNotFound")
        else:
            self._send(hub.folder / name, with_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: Path, with_body: bool) -> None:
        hub, data = self.owner, path.read_bytes()
        is_large = path.suffix == ".safetensors"
        digest = hashlib.sha256(data if not (is_large and hub.wrong_hash) else b"else").hexdigest()
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start = int(asked.group(1))
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{digest if is_large else digest[:40]}"')
        if is_large:
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Linked-ETag", f'"{digest}"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if with_body:
            self._send_body(data[start:], is_large)

    def _send_body(self, data: bytes, is_large: bool) -> None:
        hub = self.owner
        if is_large and hub.cut_after is not None:
            data, hub.cut_after = data[: hub.cut_after], None
            self.close_connection = True
        for block in range(0, len(data), BLOCK_BYTES):
            self.wfile.write(data[block : block + BLOCK_BYTES])
            if is_large and hub.seconds_per_block:
                time.sleep(hub.seconds_per_block)
        if self.close_connection:
            self.wfile.flush()
            self.connection.close()
