"""Part "heavy": crafted pictures that are small files and much work, beside an ordinary visitor."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from attacks.bench import Bench, memory_below
from attacks.client import Answer, call_with_file, classify
from attacks.heavy_pictures import MORE, QUICK
from attacks.judge import why_bad
from attacks.report import Row
from attacks.server import Server
from attacks.watch import Probe, health_probe, visitor_probe

MOST_MEGABYTES = 500
MOST_SECONDS = 30.0  # of a heavy request itself
MOST_SECONDS_OF_OTHERS = 5.0
AT_ONCE = 4
QUICK_AT_ONCE = ("16-bit PNG 10,000²", "progressive JPEG 869 kB")
QUICK_BY_PAGE = ("16-bit PNG 10,000²", "float TIFF 10,000²")

Send = Callable[[Server, bytes], Answer]


def by_api(server: Server, data: bytes) -> Answer:
    return classify(server, data, seconds=MOST_SECONDS)


def by_page(server: Server, data: bytes) -> Answer:
    return call_with_file(server, "classify", data, "p.jpg", "ages", seconds=MOST_SECONDS)


def run(bench: Bench) -> None:
    makers = QUICK if bench.quick else {**QUICK, **MORE}
    for name, make in makers.items():
        data = make()
        size = f"{name} ({len(data) / 1000:,.0f} kB)"
        _attack(bench, f"{size}, API", data, by_api, 1)
        if not bench.quick or name in QUICK_BY_PAGE:
            _attack(bench, f"{size}, page", data, by_page, 1)
        if not bench.quick or name in QUICK_AT_ONCE:
            _attack(bench, f"{size}, {AT_ONCE} at once, API", data, by_api, AT_ONCE)


def _attack(bench: Bench, what: str, data: bytes, send: Send, at_once: int) -> None:
    server = bench.server()
    with bench.row(what) as row:
        with beside(row, server, MOST_MEGABYTES, MOST_SECONDS_OF_OTHERS, MOST_SECONDS_OF_OTHERS):

            def ask() -> None:
                answer = send(server, data)
                row.add(answer.kind, answer.seconds)
                wrong = why_bad(answer)
                if wrong:
                    row.fail(wrong)

            threads = [threading.Thread(target=ask, daemon=True) for _ in range(at_once)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=MOST_SECONDS * 2 + 10)
            if any(thread.is_alive() for thread in threads):
                row.fail("the bench itself still waits")
        if row.failures:
            bench.drop_server()  # what still computes would be held against the next


@contextlib.contextmanager
def beside(row: Row, server: Server, megabytes: float, health_seconds: float, seconds: float):  # type: ignore[no-untyped-def]
    """Fails `row` where, beside the block, others wait or the server takes too much memory."""
    probes: list[Probe] = [health_probe(server, health_seconds), visitor_probe(server, seconds)]
    with memory_below(row, server, megabytes), contextlib.ExitStack() as watching:
        for probe in probes:
            watching.enter_context(probe)
        yield
        waited = [reason for probe in probes for reason in probe.failures()]
    if not server.is_running():
        waited.insert(0, "the server died")
    for reason in waited:
        row.fail(reason)
    slowest = max(probe.worst for probe in probes)
    row.notes.append(f"others {slowest:.1f} s")
