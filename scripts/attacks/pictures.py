"""Part "pictures": damaged pictures of every format, most of them given to the decoder itself."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attacks.bench import Bench, memory_below
from attacks.client import classify
from attacks.decoding import DecodingProcess
from attacks.judge import why_bad, why_not_a_sentence
from attacks.report import Row
from attacks.seeds import mutated, seeds

MUTATED, QUICK_MUTATED = 50_000, 1_500
BY_HTTP, QUICK_BY_HTTP = 2_000, 100
MOST_SECONDS = 5.0
SECONDS_TO_WAIT = 15.0
MOST_MEGABYTES = 500
PROCESSES = 2


def run(bench: Bench) -> None:
    _by_decoder(bench, QUICK_MUTATED if bench.quick else MUTATED)
    _by_http(bench, QUICK_BY_HTTP if bench.quick else BY_HTTP)


def _pictures(bench: Bench, what: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Kind and bytes: first every whole one, then damaged ones of each kind in turn."""
    draw = bench.random(what)
    whole = seeds()
    yield from itertools.islice(whole.items(), count)
    for _, (kind, seed) in zip(
        range(count - len(whole)), itertools.cycle(whole.items()), strict=False
    ):
        yield kind, mutated(draw, seed)


def _by_decoder(bench: Bench, count: int) -> None:
    whole = seeds()
    kinds = sorted({kind.split()[0] for kind in whole})
    pictures = list(enumerate(_pictures(bench, "decoder", count)))
    peak = 0.0
    rows: dict[str, Row] = {}

    def decode(share: int) -> None:
        nonlocal peak
        process = DecodingProcess()
        try:
            for n, (kind, data) in pictures[share::PROCESSES]:
                bench.check_time()
                found = process.decode(data, SECONDS_TO_WAIT)
                row = rows[kind.split()[0]]
                row.add(found.kind, found.seconds)
                peak = max(peak, found.megabytes)
                wrong = _why_wrong(found.kind, found.text, found.seconds)
                if n < len(whole) and found.kind != "picture":
                    wrong = f"a whole picture was not read: {found.text}"
                if wrong:
                    row.fail(f"{kind}, saved as {_saved(bench, data)}: {wrong}")
        finally:
            process.close()

    for kind in kinds:
        rows[kind] = Row(bench.part, f"{kind}, by the decoder")
    bench.rows += rows.values()
    with ThreadPoolExecutor(PROCESSES) as pool:
        list(pool.map(decode, range(PROCESSES)))
    for row in rows.values():
        row.notes.append(f"peak of a process {peak:,.0f} MB") if row is rows[kinds[0]] else None
        print(f"  {row.what}: {row.verdict}", flush=True)


def _why_wrong(kind: str, text: str, seconds: float) -> str | None:
    if kind not in ("picture", "refused"):
        return f"{kind} {text}"
    if seconds > MOST_SECONDS:
        return f"took {seconds:.1f} s"
    return why_not_a_sentence(text) if kind == "refused" else None


def _by_http(bench: Bench, count: int) -> None:
    server = bench.server()

    def ask(picture: tuple[str, bytes]) -> None:
        kind, data = picture
        bench.check_time()
        answer = classify(server, data, seconds=SECONDS_TO_WAIT)
        row.add(answer.kind, answer.seconds)
        wrong = why_bad(answer)
        if answer.seconds > MOST_SECONDS and not wrong:
            wrong = f"took {answer.seconds:.1f} s"
        if wrong:
            row.fail(f"{kind}, saved as {_saved(bench, data)}: {wrong}")

    with (
        bench.row("all formats, by HTTP") as row,
        memory_below(row, server, MOST_MEGABYTES),
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(ask, _pictures(bench, "http", count)))


def _saved(bench: Bench, data: bytes) -> str:
    """Keeps what did harm; `--keep` keeps the folder."""
    folder: Path = bench.folder / "harmful"
    folder.mkdir(exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:12]
    path.write_bytes(data)
    return path.name
