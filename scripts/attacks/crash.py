"""Part "crash": killed while writing, two on one cache, a full disk, a disk that cannot be written.

What a server gives afterwards must be whole, and it must still answer.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attacks.bench import Bench
from attacks.client import Answer, call_with_file, classify, get, post, why_bad
from attacks.report import Row
from attacks.server import ARGUMENTS, Server
from attacks.watch import PHOTO

KILLS, QUICK_KILLS = 10, 2
TRIES, QUICK_TRIES = 6, 1
SECONDS = 60.0  # an encoder is written once, which takes a while
TMPFS_BYTES = 24_000_000
WRITERS = 4


def run(bench: Bench) -> None:
    bench.drop_server()
    _killed(bench, QUICK_KILLS if bench.quick else KILLS)
    _two_on_one_cache(bench, QUICK_TRIES if bench.quick else TRIES)
    _full_disk(bench)
    _unwritable(bench)


@contextlib.contextmanager
def _started(bench: Bench, name: str, cache: Path, **more: Path) -> Iterator[Server]:
    bench.check_time()
    server = Server(bench.folder / "crash" / name, cache=cache, arguments=ARGUMENTS, **more)
    try:
        yield server.wait_until_ready()
    finally:
        server.kill()


def _killed(bench: Bench, times: int) -> None:
    draw = bench.random("kills")
    cache = bench.folder / "crash" / "cache"
    made: dict[str, str] = {}  # words → the id they were given
    with bench.row(f"killed {times} times while it writes") as row:
        for n in range(times):
            with _started(bench, f"killed-{n}", cache) as server:
                _check_whole(row, server, cache, made)
                shutil.rmtree(cache / "encoders", ignore_errors=True)
                with ThreadPoolExecutor(WRITERS) as pool:
                    for writer in range(WRITERS):
                        pool.submit(_write, server, n, writer, made)
                    time.sleep(draw.uniform(0.05, 2.0))
                    server.kill()
        with _started(bench, "killed-last", cache) as server:
            _check_whole(row, server, cache, made)


def _write(server: Server, n: int, writer: int, made: dict[str, str]) -> None:
    """Has heads and encoders written until the server is gone."""
    formats = ("pt", "ptl")
    if writer == 0:
        for suffix in formats:
            get(server, f"/api/v1/encoder?format={suffix}", seconds=20)
    for number in range(500):
        words = f"{n}-{writer}-{number}"
        body = {"classes": [words, "other"], "format": "safetensors"}
        answer = post(server, "/api/v1/heads", seconds=20, json=body)
        if answer.kind != "2xx":
            return
        made[words] = ""


def _check_whole(row: Row, server: Server, cache: Path, made: dict[str, str]) -> None:
    """Everything that is served after a crash is whole."""
    for words in list(made)[-20:]:
        body = {"classes": [words, "other"], "format": "safetensors"}
        answer = post(server, "/api/v1/heads", seconds=SECONDS, json=body)
        _judge(row, f"the head of {words}", answer)
        if answer.kind == "2xx" and (wrong := _why_no_head(answer.content)):
            row.fail(f"the head of {words}: {wrong}")
    for path in (cache / "heads").glob("*.safetensors"):
        wrong = _why_no_head(path.read_bytes())
        if wrong:
            row.fail(f"a head in the cache: {wrong}")
    for suffix in ("pt", "ptl"):
        _check_encoder(row, server, suffix)


def _why_no_head(content: bytes) -> str | None:
    from classifiers.errors import HeadError
    from classifiers.heads import Head

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(content)
        file.flush()
        try:
            Head.load(file.name)
        except HeadError as error:
            return str(error)
    return None


def _check_encoder(row: Row, server: Server, suffix: str) -> bytes:
    answer = get(server, f"/api/v1/encoder?format={suffix}", seconds=SECONDS)
    _judge(row, f"the encoder as {suffix}", answer)
    if answer.kind == "2xx" and not is_whole_zip(answer.content):
        row.fail(f"{len(answer.content):,} bytes of an encoder as {suffix} are no whole file")
    return answer.content


def is_whole_zip(content: bytes) -> bool:
    """Whether a TorchScript file has its directory and every part as it was written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return bool(archive.namelist()) and archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, ValueError):
        return False


def _two_on_one_cache(bench: Bench, tries: int) -> None:
    cache = bench.folder / "crash" / "shared"
    with (
        bench.row(f"two processes on one cache, {tries} tries") as row,
        _started(bench, "one", cache) as one,
        _started(bench, "other", cache) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        for _ in range(tries):
            shutil.rmtree(cache / "encoders", ignore_errors=True)
            asked = [
                pool.submit(_check_encoder, row, server, suffix)
                for server in (one, other)
                for suffix in ("pt", "ptl")
            ]
            sizes = [len(task.result()) for task in asked]
            if abs(sizes[0] - sizes[2]) > 10_000 or abs(sizes[1] - sizes[3]) > 10_000:
                row.fail(f"the two give files of {sizes} bytes")


def _full_disk(bench: Bench) -> None:
    folder = bench.folder / "crash" / "small-disk"
    folder.mkdir(parents=True)
    with bench.row("a full disk") as row:
        command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            row.notes.append("SKIPPED: a small file system cannot be mounted here")
            return
        try:
            temporary = folder / "tmp"
            with _started(bench, "full", folder / "cache", temporary=temporary) as server:
                _fill(folder / "ballast")
                _still_answers(row, server)
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        for size in (1_000_000, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def _unwritable(bench: Bench) -> None:
    """A cache that can be read only; for root, who may write anywhere, one below a device."""
    with bench.row("a cache that cannot be written") as row:
        folder = bench.folder / "crash" / "read-only"
        folder.mkdir(parents=True)
        mounted = False
        if os.getuid() == 0:
            commands = [
                ["mount", "--bind", str(folder), str(folder)],
                ["mount", "-o", "remount,ro,bind", str(folder)],
            ]
            done = [subprocess.run(each, capture_output=True).returncode == 0 for each in commands]
            mounted = all(done)
            if not mounted:
                subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
        else:
            folder.chmod(0o500)
        try:
            if os.getuid() == 0 and not mounted:
                row.notes.append("SKIPPED: nothing can be mounted here, and root writes anywhere")
                return
            with _started(bench, "unwritable", folder / "cache") as server:
                _still_answers(row, server)
        except RuntimeError as error:
            row.fail(f"{error}"[-300:])
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(folder)], check=False)


def _still_answers(row: Row, server: Server) -> None:
    photo = PHOTO.read_bytes()
    for attempt in range(2):  # once more, when there may be half a file
        _judge(row, "a picture", classify(server, photo, seconds=SECONDS), must=True)
        classes = [f"{attempt} cat", "dog"]
        for body in ({"classes": classes, "format": "txt"}, {"classes": classes, "format": "json"}):
            answer = post(server, "/api/v1/heads", seconds=SECONDS, json=body)
            _judge(row, "a head", answer, must=True)
        for suffix in ("pt", "ptl"):
            _judge(row, "a label set's head", get(server, f"/api/v1/classifiers/ages/head?format={suffix}"))
            answer = get(server, f"/api/v1/encoder?format={suffix}", seconds=SECONDS)
            _judge(row, "the encoder", answer)
            if answer.kind == "2xx" and not is_whole_zip(answer.content):
                row.fail(f"{len(answer.content):,} bytes of an encoder are no whole file")
        _judge(row, "the page's picture", call_with_file(server, "classify", photo, "l.jpg", "ages"))
        _judge(row, "healthz", get(server, "/api/v1/healthz"), must=True)


def _judge(row: Row, what: str, answer: Answer, *, must: bool = False) -> None:
    row.add(answer.kind, answer.seconds)
    wrong = why_bad(answer)
    if must and answer.kind != "2xx":
        wrong = wrong or f"{answer.kind} {answer.text[:80]}"
    if wrong:
        row.fail(f"{what}: {wrong}")
