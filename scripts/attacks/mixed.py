"""Part "mixed": many requests of all kinds, and what they leave behind in memory and on disk."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app import MAX_SESSIONS
from attacks.bench import Bench
from attacks.client import Answer, call, call_with_file, classify, get, post
from attacks.judge import why_bad
from attacks.seeds import mutated, seeds
from attacks.server import Server
from attacks.watch import PHOTO

COUNT, QUICK_COUNT = 1_500, 150
CLIENTS = 4
MOST_GROWTH_MEGABYTES = 100
MOST_TEMPORARY_MEGABYTES = 20
SECONDS_UNTIL_IDLE = 3.0
MOST_SECONDS = 30.0


def run(bench: Bench) -> None:
    server = bench.server()
    count = QUICK_COUNT if bench.quick else COUNT
    pictures = list(seeds().values())
    draw = bench.random("mixed")
    # A server that has just started has still to load much, and Gradio remembers each caller
    # until there are `app.MAX_SESSIONS` of them; that is no growth.
    if not bench.quick:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda _: call(server, "list_classifiers", []), range(MAX_SESSIONS)))
    _ask_all(bench, server, [(-n - 1, draw.random()) for n in range(count // 3)], pictures, None)
    time.sleep(SECONDS_UNTIL_IDLE)
    before, folders_before = server.megabytes(), _sizes(server)
    with bench.row(f"{count:,} requests") as row:
        _ask_all(bench, server, [(n, draw.random()) for n in range(count)], pictures, row)
        time.sleep(SECONDS_UNTIL_IDLE)
        row.megabytes = server.megabytes() - before
        if row.megabytes > MOST_GROWTH_MEGABYTES:
            row.fail(f"{row.megabytes:,.0f} MB more once idle; {MOST_GROWTH_MEGABYTES} is the most")
        for name, (files, megabytes) in _sizes(server).items():
            files_before, megabytes_before = folders_before[name]
            row.notes.append(
                f"{name} {files_before:,} → {files:,} files, "
                f"{megabytes_before:,.1f} → {megabytes:,.1f} MB"
            )
            if name == "temporary" and megabytes - megabytes_before > MOST_TEMPORARY_MEGABYTES:
                row.fail(f"the temporary folder grew by {megabytes - megabytes_before:,.0f} MB")


def _ask_all(bench, server, numbers, pictures, row):  # type: ignore[no-untyped-def]
    def ask(task: tuple[int, float]) -> None:
        bench.check_time()
        answer = _request(server, task[0], random.Random(task[1]), pictures)
        if row is None:
            return
        row.add(answer.kind, answer.seconds)
        wrong = why_bad(answer)
        if wrong:
            row.fail(wrong)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, numbers))


def _request(server: Server, n: int, draw: random.Random, pictures: list[bytes]) -> Answer:
    photo = PHOTO.read_bytes()
    words = [f"{n} thing {number}" for number in range(10)]
    match n % 10:
        case 0:
            return classify(server, photo, "nouns")
        case 1:
            return classify(server, draw.choice(pictures), seconds=MOST_SECONDS)
        case 2:
            return classify(server, mutated(draw, draw.choice(pictures)), seconds=MOST_SECONDS)
        case 3:
            return call_with_file(server, "classify", photo, "lion.jpg", "ages")
        case 4:
            suffix = "zip" if n % 50 == 4 else "pt"  # a zip takes seconds to write
            return post(server, "/api/v1/heads", json={"classes": words, "format": suffix})
        case 5:
            return call(server, "create_classifier", [f"{n}", "a {}", ", ".join(words)])
        case 6:
            suffix = draw.choice(("pt", "ptl", "txt", "json", "safetensors"))
            return get(server, f"/api/v1/classifiers/ages/head?format={suffix}")
        case 7:
            return call(server, "export_classifier", ["ages", draw.choice(("pt", "ptl", "xml"))])
        case 8:
            return post(server, "/api/v1/heads", json={"classes": [], "template": "none"})
        case _:
            damaged = mutated(draw, draw.choice(pictures))
            return call_with_file(server, "classify", damaged, "x.png", "ages")


def _sizes(server: Server) -> dict[str, tuple[int, float]]:
    """Files and megabytes of each folder of the server."""
    found = {}
    for name, folder in server.folders().items():
        sizes = [
            path.stat().st_size
            for directory, _, names in os.walk(folder)
            for path in (Path(directory) / each for each in names)
            if path.is_file() and not path.is_symlink()
        ]
        found[name] = (len(sizes), sum(sizes) / 1e6)
    return found
