"""Part "crash": killed while writing, two on one cache, a full disk, a disk that cannot be written.

What a server gives afterwards must be whole, and it must still answer.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attacks.bench import Bench
from attacks.client import get, post
from attacks.disks import full_disk, is_whole_zip, judge_answer, started, unwritable
from attacks.report import Row
from attacks.server import Server

KILLS, QUICK_KILLS = 10, 2
TRIES, QUICK_TRIES = 6, 1
SECONDS = 60.0  # an encoder is written once, which takes a while
WRITERS = 4


def run(bench: Bench) -> None:
    bench.drop_server()
    cache = bench.folder / "crash" / "cache"
    _killed(bench, cache, QUICK_KILLS if bench.quick else KILLS)
    _two_on_one_cache(bench, cache, QUICK_TRIES if bench.quick else TRIES)
    full_disk(bench)
    unwritable(bench)


def _killed(bench: Bench, cache: Path, times: int) -> None:
    draw = bench.random("kills")
    made: list[str] = []  # words whose heads were answered
    with bench.row(f"killed {times} times while it writes") as row:
        for n in range(times):
            with started(bench, f"killed-{n}", cache) as server:
                _check_whole(row, server, cache, made)
                shutil.rmtree(cache / "encoders", ignore_errors=True)
                with ThreadPoolExecutor(WRITERS) as pool:
                    for writer in range(WRITERS):
                        pool.submit(_write, server, n, writer, made)
                    time.sleep(draw.uniform(0.05, 2.0))
                    server.kill()
        with started(bench, "killed-last", cache) as server:
            _check_whole(row, server, cache, made)


def _write(server: Server, n: int, writer: int, made: list[str]) -> None:
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
        made.append(words)


def _check_whole(row: Row, server: Server, cache: Path, made: list[str]) -> None:
    """Everything that is served after a crash is whole."""
    for words in made[-20:]:
        body = {"classes": [words, "other"], "format": "safetensors"}
        answer = post(server, "/api/v1/heads", seconds=SECONDS, json=body)
        judge_answer(row, f"the head of {words}", answer)
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
    from classifiers.heads.head import Head

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
    judge_answer(row, f"the encoder as {suffix}", answer)
    if answer.kind == "2xx" and not is_whole_zip(answer.content):
        row.fail(f"{len(answer.content):,} bytes of an encoder as {suffix} are no whole file")
    return answer.content


def _two_on_one_cache(bench: Bench, cache: Path, tries: int) -> None:
    with (
        bench.row(f"two processes on one cache, {tries} tries") as row,
        started(bench, "one", cache) as one,
        started(bench, "other", cache) as other,
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
