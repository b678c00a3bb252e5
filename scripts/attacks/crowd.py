"""Part "crowd": many who ask for much that is allowed, beside one who classifies a photograph."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from attacks.bench import Bench
from attacks.client import Answer, as_file, call, classify, connect, new_session, post, upload
from attacks.heavy import beside
from attacks.judge import why_bad
from attacks.page_functions import PageInput, page_inputs
from attacks.report import Row
from attacks.watch import PHOTO

LARGE_HEADS = 4
CLASSES, TEMPLATES = 10_000, 50
SECONDS_OF_LARGE, QUICK_SECONDS_OF_LARGE = 120.0, 8.0  # then their clients leave
CLIENTS, NEW_HEADS, PICTURES = 16, 64, 64
CLASSES_OF_NEW_HEADS = 30
CAMERAS = 8
MOST_SECONDS = 30.0
MOST_SECONDS_OF_OTHERS = 5.0
MOST_MEGABYTES = 1_000


def run(bench: Bench) -> None:
    _large_heads(bench, QUICK_SECONDS_OF_LARGE if bench.quick else SECONDS_OF_LARGE)
    if bench.rows[-1].failures:
        bench.drop_server()  # what is still being built is not held against the next
    _many_clients(bench, 4 if bench.quick else 1)
    _open_cameras(bench)


def _large_heads(bench: Bench, seconds: float) -> None:
    """The largest heads that the limits allow, for clients who leave before they have them."""
    server = bench.server()
    template = "\n".join(f"{{}} as in picture {n}" for n in range(TEMPLATES))

    def make(n: int) -> None:
        classes = [f"thing {n} {number}" for number in range(CLASSES)]
        body = {"classes": classes, "template": template, "format": "safetensors"}
        answer = post(server, "/api/v1/heads", seconds=seconds, json=body)
        # One that is still made when the time is over is what this is about.
        row.add("left" if answer.kind == "hangs" else answer.kind, answer.seconds)
        wrong = None if answer.kind == "hangs" else why_bad(answer)
        if wrong:
            row.fail(wrong)

    what = f"{LARGE_HEADS} heads of {CLASSES:,} classes × {TEMPLATES} templates"
    with bench.row(what) as row:
        limits = (MOST_MEGABYTES, MOST_SECONDS_OF_OTHERS, MOST_SECONDS_OF_OTHERS)
        with beside(row, server, *limits), ThreadPoolExecutor(LARGE_HEADS) as pool:
            list(pool.map(make, range(LARGE_HEADS)))


def _many_clients(bench: Bench, share: int) -> None:
    server = bench.server()
    photo = PHOTO.read_bytes()

    def new_head(n: int) -> Answer:
        classes = [f"{n} sort {number}" for number in range(CLASSES_OF_NEW_HEADS)]
        body = {"classes": classes, "format": ("pt", "zip", "txt")[n % 3]}
        return post(server, "/api/v1/heads", seconds=MOST_SECONDS + 5, json=body)

    def picture(_: int) -> Answer:
        return classify(server, photo, seconds=MOST_SECONDS + 5)

    work: list[tuple[Callable[[int], Answer], int]] = []
    for n in range(max(NEW_HEADS, PICTURES) // share):
        work += [(new_head, n), (picture, n)]

    def ask(task: tuple[Callable[[int], Answer], int]) -> None:
        _judge(row, task[0](task[1]), MOST_SECONDS)

    what = f"{CLIENTS} clients: {len(work) // 2} new heads beside {len(work) // 2} pictures"
    with bench.row(what) as row, ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, work))
        if row.count < len(work):
            row.fail(f"{len(work) - row.count} were lost")


def _open_cameras(bench: Bench) -> None:
    """Streams that strangers begin and never go on with, beside the page's own classify."""
    server = bench.server()
    streams = [at for at in page_inputs(server) if at.streams and at.takes_files]
    photo = PHOTO.read_bytes()
    path = upload(server, photo, "lion.jpg")
    ended = threading.Event()

    def camera(at: PageInput) -> None:
        session = new_session()
        data = at.data(as_file(path))
        body = {"data": data, "fn_index": at.function, "session_hash": session}
        post(server, "/gradio_api/queue/join", seconds=5, json=body)
        with (
            connect(server, 60) as http,
            http.stream(
                "GET", "/gradio_api/queue/data", params={"session_hash": session}
            ) as events,
        ):
            for _ in events.iter_lines():
                if ended.is_set():
                    return

    with bench.row(f"{CAMERAS} cameras that were left open") as row:
        for at in streams:
            threads = [
                threading.Thread(target=_quietly, args=(camera, at), daemon=True)
                for _ in range(CAMERAS)
            ]
            for thread in threads:
                thread.start()
            time.sleep(2.0)
            for _ in range(3):
                if row.failures:
                    break
                answer = call(server, "classify", [as_file(path), "ages"], seconds=10)
                _judge(row, answer, MOST_SECONDS_OF_OTHERS)
            ended.set()
    if row.failures:
        bench.drop_server()


def _quietly(camera: Callable[[PageInput], None], at: PageInput) -> None:
    """A camera whose server has gone has nothing to say."""
    with contextlib.suppress(httpx.HTTPError):
        camera(at)


def _judge(row: Row, answer: Answer, most_seconds: float) -> None:
    row.add(answer.kind, answer.seconds)
    wrong = why_bad(answer)
    if not wrong and answer.seconds > most_seconds:
        wrong = f"took {answer.seconds:.1f} s"
    if wrong:
        row.fail(wrong)
