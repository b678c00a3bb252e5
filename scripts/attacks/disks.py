"""Servers on a full disk and on one that cannot be written; what they give must be whole."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from attacks.bench import Bench
from attacks.client import Answer, call_with_file, classify, get, post
from attacks.judge import why_bad
from attacks.report import Row
from attacks.server import Server
from attacks.watch import PHOTO

SECONDS = 60.0  # an encoder is written once, which takes a while
TMPFS_BYTES = 24_000_000


@contextlib.contextmanager
def started(
    bench: Bench, name: str, cache: Path, temporary: Path | None = None
) -> Iterator[Server]:
    bench.check_time()
    server = Server(bench.folder / "crash" / name, cache=cache, temporary=temporary)
    try:
        yield server.wait_until_ready()
    finally:
        server.kill()


def full_disk(bench: Bench) -> None:
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
            with started(bench, "full", folder / "cache", temporary=temporary) as server:
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


def unwritable(bench: Bench) -> None:
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
            with started(bench, "unwritable", folder / "cache") as server:
                _still_answers(row, server)
        except RuntimeError as error:
            row.fail(f"{error}"[-300:])
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(folder)], check=False)


def _still_answers(row: Row, server: Server) -> None:
    photo = PHOTO.read_bytes()
    for attempt in range(2):  # once more, when there may be half a file
        if not server.is_running():
            row.fail(f"the server died with {server.process.returncode}", first=True)
            return
        judge_answer(row, "a picture", classify(server, photo, seconds=SECONDS), must=True)
        classes = [f"{attempt} cat", "dog"]
        for body in ({"classes": classes, "format": "txt"}, {"classes": classes, "format": "json"}):
            answer = post(server, "/api/v1/heads", seconds=SECONDS, json=body)
            judge_answer(row, "a head", answer, must=True)
        for suffix in ("pt", "ptl"):
            judge_answer(
                row,
                "a label set's head",
                get(server, f"/api/v1/classifiers/ages/head?format={suffix}"),
            )
            answer = get(server, f"/api/v1/encoder?format={suffix}", seconds=SECONDS)
            judge_answer(row, "the encoder", answer)
            if answer.kind == "2xx" and not is_whole_zip(answer.content):
                row.fail(f"{len(answer.content):,} bytes of an encoder are no whole file")
        judge_answer(
            row, "the page's picture", call_with_file(server, "classify", photo, "l.jpg", "ages")
        )
        judge_answer(row, "healthz", get(server, "/api/v1/healthz"), must=True)


def is_whole_zip(content: bytes) -> bool:
    """Whether a TorchScript file has its directory and every part as it was written."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return bool(archive.namelist()) and archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, ValueError):
        return False


def judge_answer(row: Row, what: str, answer: Answer, *, must: bool = False) -> None:
    row.add(answer.kind, answer.seconds)
    wrong = why_bad(answer)
    if must and answer.kind != "2xx":
        wrong = wrong or f"{answer.kind} {answer.text[:80]}"
    if wrong:
        row.fail(f"{what}: {wrong}")
