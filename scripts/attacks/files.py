"""Part "files": paths of the server's machine given as if they had been uploaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from attacks.assistant import call_tools
from attacks.bench import Bench
from attacks.client import Answer, as_file, get
from attacks.outside import Pair, canaries_in, files_with_canaries, pairs
from attacks.page_functions import WAYS, PageInput, page_inputs, send
from attacks.report import Row
from attacks.server import Server
from attacks.watch import health_probe

MOST_SECONDS = 5.0
SECONDS_TO_WAIT = 8.0  # before an answer counts as never given
MOST_SECONDS_OF_OTHERS = 20.0  # functions that take no file may have real work to do
AT_ONCE = 4
MAY_NEVER_END = ("pipe", "/dev")

Make = Callable[[str, str], Any]  # path, the server's address → what is sent
VARIANTS: dict[str, Make] = {
    "plain": lambda path, url: as_file(path),
    "no meta": lambda path, url: {"path": path},
    "orig_name": lambda path, url: as_file(path, orig_name="photo.jpg", size=5, mime_type="a/b"),
    "url": lambda path, url: as_file(path, url=f"/gradio_api/file={path}"),
    "short url": lambda path, url: as_file(path, url=f"file={path}"),
    "whole url": lambda path, url: as_file(path, url=f"{url}/gradio_api/file={path}"),
    "only url": lambda path, url: as_file(None, url=f"{url}/gradio_api/file={path}"),
    "path is url": lambda path, url: as_file(f"{url}/gradio_api/file={path}"),
    "file://": lambda path, url: as_file(f"file://{path}"),
    "stream": lambda path, url: as_file(path, is_stream=True),
    "list": lambda path, url: [as_file(path)],
    "dict": lambda path, url: {"video": as_file(path), "image": as_file(path)},
    "editor": lambda path, url: {"background": as_file(path), "layers": [as_file(path)]},
    "string": lambda path, url: path,
    "dot": lambda path, url: as_file(path.replace("/", "/./", 1)),
}


def run(bench: Bench) -> None:
    server = bench.server()
    inputs = page_inputs(server)
    takers = [at for at in inputs if at.takes_files]
    others = [at for at in inputs if not at.takes_files]
    for pair in pairs(server, bench.folder):
        if pair.kind not in MAY_NEVER_END:
            ways = WAYS[:1] if bench.quick else WAYS
            _walk(bench, f"{pair.kind}: as it is", [pair.kind], takers, ["plain"], ways)
    kinds = ["jpg"] if bench.quick else ["jpg", "txt", "safetensors"]
    ways = WAYS[:1] if bench.quick else WAYS
    others_of_path = list(VARIANTS)[1:]
    if bench.quick:
        others_of_path = bench.random("variants").sample(others_of_path, 6)
    _walk(bench, "written in other ways", kinds, takers, others_of_path, ways)
    if bench.quick:
        _walk(bench, "by other calls", ["jpg"], takers, ["plain"], WAYS[1:])
        others = bench.random("others").sample(others, 25)
    _walk(bench, "where no file belongs", ["txt"], others, ["plain"], WAYS[:1])
    _assistant(bench)
    _downloads(bench)
    for kind in MAY_NEVER_END:
        _walk(bench, f"{kind}: as it is", [kind], takers, ["plain"], WAYS[:1])
    with bench.row("copies in the server's folders") as row:
        for path in files_with_canaries([f for f in bench.folder.glob("server-*") if f.is_dir()]):
            row.fail(f"{path.relative_to(bench.folder)} holds the canary")


def _walk(
    bench: Bench,
    what: str,
    kinds: list[str],
    inputs: list[PageInput],
    variants: list[str],
    ways: tuple[str, ...],
) -> None:
    server = bench.server()
    chosen = [pair for pair in pairs(server, bench.folder) if pair.kind in kinds]

    def ask(pair: Pair, at: PageInput, variant: str, way: str) -> None:
        bench.check_time()
        if row.answers["hangs"] >= AT_ONCE:
            return  # it is known, and each takes seconds

        def answer_to(path: str) -> Answer:
            value = VARIANTS[variant](path, server.url)
            seconds = SECONDS_TO_WAIT if at.takes_files else MOST_SECONDS_OF_OTHERS
            return send(server, way, at, value, seconds=seconds)

        most = MOST_SECONDS if at.takes_files else MOST_SECONDS_OF_OTHERS
        judge_pair(row, f"{way} {at} {variant} {pair.kind}", pair, answer_to, most)

    with bench.row(what) as row, health_probe(server, MOST_SECONDS) as health:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [
                pool.submit(ask, pair, at, variant, way)
                for pair in chosen
                for way in ways
                for variant in variants
                for at in inputs
                if not (at.streams and way == "call")  # which never ends, by design of Gradio
            ]
            for task in tasks:
                task.result()
        for reason in health.failures():
            row.fail(reason)
    if row.answers["hangs"] and (kinds[0] in MAY_NEVER_END or health.failures()):
        bench.drop_server()  # its threads may never come back


def judge_pair(
    row: Row, what: str, pair: Pair, answer_to: Callable[[str], Answer], most_seconds: float
) -> None:
    """Fails `row` where a file's content, or only that it is there, can be told from answers."""
    present = answer_to(pair.present)
    # Where one never ends there is nothing to compare, and what comes next waits too.
    absent = present if present.kind == "hangs" else answer_to(pair.absent)
    for answer, path in ((present, pair.present), (absent, pair.absent)):
        row.add(answer.kind, answer.seconds)
        if answer.kind == "hangs" or answer.seconds > most_seconds:
            row.fail(f"{what}: {path} took {answer.seconds:.1f} s", first=True)
        found = canaries_in(answer.content or answer.text.encode())
        if found:
            row.fail(f"{what}: the answer holds {found[0]}", first=True)
    if _alike(present, absent, pair) or absent.kind == "hangs":
        return
    # Some functions never answer twice alike; then nothing can be told from it.
    again = answer_to(pair.absent)
    if _alike(absent, again, pair) and not _alike(answer_to(pair.present), again, pair):
        row.fail(
            f"{what}: a file that is there is answered “{_short(present)}”, "
            f"one that is not “{_short(absent)}”"
        )


def _short(answer: Answer) -> str:
    return f"{answer.kind} {answer.sentence() or answer.text}"[:110]


def _alike(one: Answer, other: Answer, pair: Pair) -> bool:
    return one.kind == other.kind and _told(one.text, pair) == _told(other.text, pair)


def _told(text: str, pair: Pair) -> str:
    """`text` without the path itself, and without what differs in every answer."""
    # The longer first: one may begin with the other.
    for path in sorted((pair.present, pair.absent), key=len, reverse=True):
        for written in (path, quote(path), path.rpartition("/")[2]):
            text = text.replace(written, "PATH")
    text = re.sub(r'"(event_id|duration|average_duration)": ?("[^"]*"|[\d.e-]+)', "", text)
    return re.sub(r"[0-9a-f]{32,64}", "HASH", text)


def _assistant(bench: Bench) -> None:
    server = bench.server()
    ways = [lambda path: path, lambda path: f"file://{path}", as_file]
    tools = [("classify", "image", {"classifier": "ages"}), ("import_head", "file", {})]
    with bench.row("as an assistant (MCP)") as row:
        for pair in pairs(server, bench.folder):
            if pair.kind in MAY_NEVER_END or (bench.quick and pair.kind not in ("jpg", "zip")):
                continue
            for tool, argument, more in tools:
                for n, write in enumerate(ways):

                    def answer_to(path: str, tool=tool, argument=argument, more=more, write=write):  # type: ignore[no-untyped-def]
                        arguments = {argument: write(path), **more}
                        return call_tools(server, [(tool, arguments)], seconds=SECONDS_TO_WAIT)[0]

                    judge_pair(row, f"{tool} {n} {pair.kind}", pair, answer_to, MOST_SECONDS)


def _downloads(bench: Bench) -> None:
    server = bench.server()
    with bench.row("as a download") as row:
        for pair in pairs(server, bench.folder):
            for address in _addresses(server, pair.present):
                answer = get(server, address, seconds=SECONDS_TO_WAIT)
                row.add(answer.kind, answer.seconds)
                if canaries_in(answer.content) or answer.kind in ("hangs", "5xx"):
                    row.fail(f"GET {address}: {answer.kind} {answer.content[:40]!r}")


def _addresses(server: Server, path: str) -> list[str]:
    up = "..%2f" * 12 + path[1:].replace("/", "%2f")
    return [
        f"/gradio_api/file={path}",
        f"/gradio_api/file=file://{path}",
        f"/gradio_api/file={server.uploads}/{up}",
        f"/gradio_api/file={quote(path, safe='')}",
        f"/gradio_api/file/{path}",
        f"/file={path}",
        f"/gradio_api/proxy=file://{path}",
        f"/assets/{up}",
        f"/static/{up}",
        f"/svelte/{up}",
        f"/docs-assets/{up}",
    ]
