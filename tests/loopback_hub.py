"""A Hugging Face hub on loopback: serves the files of a folder, well or badly.

Answers HEAD and GET of `/<org>/<repo>/resolve/<revision>/<file>` as the hub does, ranges
included, and can be told to be slow, to cut a connection, to lie about a hash, or to refuse.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BLOCK_BYTES = 64 * 1024


class LoopbackHub:
    """The server and what it was asked.

    Attributes:
        folders: what is served, by repository.
        cut_after: the next GET of the weights ends after so many bytes (then None again).
        then_refuse: what `refuse` becomes after that.
        seconds_before_answer: until anything is answered at all.
        seconds_per_block: makes the weights arrive slowly.
        wrong_hash: the weights are announced under a hash that they do not have.
        refuse: status that every request is answered with.
        requests: `(method, file name, Range header)` of all requests so far.
    """

    def __init__(self, folder: Path, repository: str) -> None:
        self.folders = {repository: folder}  # more can be added
        self.cut_after: int | None = None
        self.then_refuse: int | None = None
        self.seconds_before_answer = 0.0
        self.seconds_per_block = 0.0
        self.wrong_hash = False
        self.refuse: int | None = None
        self.gated = False
        self.requests: list[tuple[str, str, str]] = []
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

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
        match = re.fullmatch(r"/(.+)/resolve/[^/]+/([^/?]+)(\?.*)?", self.path)
        folder = hub.folders.get(match.group(1)) if match else None
        name = match.group(2) if match else self.path
        hub.requests.append((self.command, name, self.headers.get("Range", "")))
        time.sleep(hub.seconds_before_answer)
        if hub.refuse is not None:
            missing = "RepoNotFound" if hub.refuse in (401, 404) else ""
            self._refuse(hub.refuse, "GatedRepo" if hub.gated else missing)
        elif folder is None:
            self._refuse(404, "RepoNotFound")
        elif not (folder / name).is_file():
            self._refuse(404, "EntryNotFound")
        else:
            self._send(folder / name, with_body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: Path, with_body: bool) -> None:
        hub, size = self.owner, path.stat().st_size
        is_large = path.suffix == ".safetensors"
        digest = "0" * 64 if is_large and hub.wrong_hash else _sha256(path)
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start = int(asked.group(1))
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{digest if is_large else digest[:40]}"')
        if is_large:
            self.send_header("X-Linked-Size", str(size))
            self.send_header("X-Linked-ETag", f'"{digest}"')
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if with_body:
            with open(path, "rb") as file, contextlib.suppress(OSError):  # who asked has gone
                file.seek(start)
                self._send_body(file, size - start, is_large)

    def _send_body(self, file: BinaryIO, n_bytes: int, is_large: bool) -> None:
        hub = self.owner
        if is_large and hub.cut_after is not None:
            n_bytes, hub.cut_after = min(n_bytes, hub.cut_after), None
            hub.refuse, hub.then_refuse = hub.then_refuse, None
            self.close_connection = True
        while n_bytes > 0:
            block = file.read(min(BLOCK_BYTES, n_bytes))
            n_bytes -= len(block)
            self.wfile.write(block)
            if is_large and hub.seconds_per_block:
                time.sleep(hub.seconds_per_block)


@lru_cache
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
