"""Part "heads": crafted .safetensors heads, opened, and what was opened then used."""

from __future__ import annotations

import contextlib
import json

from attacks.bench import Bench, memory_below
from attacks.client import Answer, call, call_with_file, classify, get, post
from attacks.crafted_heads import WholeHead, crafted, head_of
from attacks.judge import why_bad
from attacks.report import Row
from attacks.server import Server
from attacks.watch import PHOTO

COUNT, QUICK_COUNT = 600, 200
FORMATS = ("txt", "xml", "json", "safetensors")
MOST_SECONDS = 5.0
MOST_MEGABYTES = 500


def run(bench: Bench) -> None:
    server = bench.server()
    wanted = {"name": "Whole", "classes": ["cat", "dog", "emu"], "format": "safetensors"}
    whole = WholeHead(post(server, "/api/v1/heads", json=wanted).content)
    count = QUICK_COUNT if bench.quick else COUNT
    opened: list[tuple[str, str]] = []
    with bench.row("opened") as row, memory_below(row, server, MOST_MEGABYTES):
        right = _open(row, server, "a head that is right", head_of(whole, -whole.weights))
        if right is None:
            row.fail("a head that is right was not opened")
        for what, content in crafted(whole, bench.random("heads"), count):
            bench.check_time()
            made = _open(row, server, what, content)
            if made is not None:
                opened.append((what, made))
        row.notes.append(f"{len(opened)} were let in")
    photo = PHOTO.read_bytes()
    with bench.row("then used") as row, memory_below(row, server, MOST_MEGABYTES):
        for what, made in opened[: 40 if bench.quick else None]:
            bench.check_time()
            _use(row, server, f"{what} ({made})", made, photo)


def _open(row: Row, server: Server, what: str, content: bytes) -> str | None:
    """The id under which a head was let in, if it was."""
    answer = call_with_file(server, "import", content, "head.safetensors", seconds=15)
    _judge(row, f"opening {what}", answer)
    return json.loads(answer.text)[0] if answer.kind == "page ok" else None


def _use(row: Row, server: Server, what: str, made: str, photo: bytes) -> None:
    _judge(row, f"classify by {what}", classify(server, photo, made, seconds=15))
    for suffix in FORMATS:
        path = f"/api/v1/classifiers/{made}/head?format={suffix}"
        _judge(row, f"{suffix} of {what}", get(server, path, seconds=15))
    _judge(row, f"export of {what}", call(server, "export_classifier", [made, "json"], seconds=15))


def _judge(row: Row, what: str, answer: Answer) -> None:
    row.add(answer.kind, answer.seconds)
    wrong = why_bad(answer, ended=False)  # the reason is often the format's own, without a stop
    numbers = numbers_that_are_none(answer.text)
    if numbers and not wrong:
        wrong = f"{numbers[0]} in the answer"
    if answer.seconds > MOST_SECONDS and not wrong:
        wrong = f"took {answer.seconds:.1f} s"
    if wrong:
        row.fail(f"{what}: {wrong}")


def numbers_that_are_none(text: str) -> list[str]:
    """NaN and Infinity in what may be JSON."""
    found: list[str] = []
    with contextlib.suppress(ValueError):
        json.loads(text, parse_constant=found.append)
    return found
