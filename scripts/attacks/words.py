"""Part "words": bodies that are too long, too deep, too many, never end, or hold no text."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator

from attacks.bench import Bench
from attacks.client import Answer, call, call_with_body, post
from attacks.endless import BLOCK, UPLOAD, endless, slow
from attacks.heavy import beside
from attacks.judge import by_others, why_bad
from attacks.raw_request import raw
from attacks.server import Server
from attacks.surrogates import lone_surrogates

MOST_MEGABYTES = 500
MOST_SECONDS = 30.0
MOST_SECONDS_OF_HEALTH = 1.0
MOST_SECONDS_OF_OTHERS = 5.0
SECONDS_OF_ENDLESS = 8.0  # a body that never ends is given up after these

Attack = Callable[[Server], list[Answer]]


def run(bench: Bench) -> None:
    for what, attack, may_be_left in _attacks(bench.quick):
        server = bench.server()
        with bench.row(what) as row:
            with beside(
                row, server, MOST_MEGABYTES, MOST_SECONDS_OF_HEALTH, MOST_SECONDS_OF_OTHERS
            ):
                for answer in attack(server):
                    row.add(answer.kind, answer.seconds)
                    left = answer.kind in ("closed", "hangs") and may_be_left
                    wrong = None if left else why_bad(answer)
                    if wrong:
                        row.fail(wrong)
                _wait_for_others(server)
            if row.failures:
                bench.drop_server()


def _wait_for_others(server: Server) -> None:
    """The server may still be busy with what it was sent; the probes have to see that."""
    time.sleep(1.0)


def _attacks(quick: bool) -> Iterator[tuple[str, Attack, bool]]:
    """What, how, and whether a closed connection or none of an answer is right as well."""
    heads, join = "/api/v1/heads", "/gradio_api/queue/join"
    yield "50 MB of one class", lambda s: [_json(s, heads, _one_class(49_000_000))], True
    yield "12 million short classes", lambda s: [_json(s, heads, _many(b'"a"', 12_000_000))], True
    yield "2.5 million numbers", lambda s: [_json(s, heads, _many(b"7", 2_500_000))], True
    yield "300 MB to the queue", lambda s: [by_others(_json(s, join, _to_queue(300_000_000)))], True
    yield "deeply nested JSON", _deep, False
    yield "lone surrogates", lone_surrogates, False
    yield "many templates", _templates, False
    yield "odd headers", _headers, True
    yield "10,000 fields of a form", _fields, True
    seconds = SECONDS_OF_ENDLESS if quick else 3 * SECONDS_OF_ENDLESS
    yield "bodies that never end", lambda s: endless(s, seconds), True
    yield "bodies that come slowly", lambda s: slow(s, seconds), True
    if not quick:
        yield "300 MB as a file", _large_upload, True
        yield "12 million classes by the page", _page_classes, True


def _blocks(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), BLOCK):
        yield content[at : at + BLOCK]


def _json(server: Server, path: str, parts: Iterable[bytes]) -> Answer:
    """A JSON body with its length announced, as a client that means well sends it."""
    body = list(parts)
    head = (
        f"POST {path} HTTP/1.1\nContent-Type: application/json\n"
        f"Content-Length: {sum(map(len, body))}"
    )
    return raw(server, head, body, seconds=MOST_SECONDS)


def _one_class(n_bytes: int) -> Iterator[bytes]:
    yield b'{"classes": ["'
    yield from itertools.repeat(b"a" * BLOCK, n_bytes // BLOCK)
    yield b'"]}'


def _many(item: bytes, count: int) -> Iterator[bytes]:
    yield b'{"classes": ['
    yield from itertools.repeat((item + b",") * 100_000, count // 100_000)
    yield item + b"]}"


def _to_queue(n_bytes: int) -> Iterator[bytes]:
    yield b'{"fn_index": 11, "session_hash": "a", "data": ["'
    yield from itertools.repeat(b"a" * BLOCK, n_bytes // BLOCK)
    yield b'"]}'


def _deep(server: Server) -> list[Answer]:
    answers = []
    for depth in (900, 5_000, 200_000, 2_000_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            nested = opening * depth + b"1" + closing * depth
            answers.append(_json(server, "/api/v1/heads", [b'{"classes": ', nested, b"}"]))
            queued = b'{"fn_index": 11, "session_hash": "b", "data": ['
            join = "/gradio_api/queue/join"
            answers.append(by_others(_json(server, join, [queued, nested, b"]}"])))
            if depth <= 5_000:
                body = b'{"data": [%s, ""]}' % nested
                answers.append(by_others(call_with_body(server, "classify", body)))
    return answers


def _templates(server: Server) -> list[Answer]:
    answers = []
    for count in (201, 20_000, 2_000_000):
        template = "\n".join(f"{{}} {n}" for n in range(count))
        body = {"classes": ["a", "b"], "template": template, "format": "txt"}
        answers.append(post(server, "/api/v1/heads", json=body))
        answers.append(call(server, "create_classifier", ["", template, "a, b"]))
    for template in ("{" * 100_000, "{}" * 250, "{0.__class__}", "%s" * 9_000, "\0{}", ""):
        body = {"classes": ["a", "b"], "template": template, "format": "txt"}
        answers.append(post(server, "/api/v1/heads", json=body))
    return answers


def _headers(server: Server) -> list[Answer]:
    sent = [
        "X-Long: " + "a" * 200_000,
        "\n".join(f"X-{n}: {n}" for n in range(5_000)),
        "Content-Length: 99999999999999999999",
        "Content-Length: -5",
        "Content-Length: 5\nContent-Length: 6",
        "Content-Type: application/json; charset=utf-7",
        "Content-Type: multipart/form-data",
        "Content-Type: multipart/form-data; boundary=" + "b" * 5_000,
        "If-None-Match: " + ", ".join(['"a"'] * 5_000),
        "Accept-Encoding: " + "gzip, " * 5_000,
        "X-Forwarded-For: " + "1.2.3.4, " * 5_000,
        "Cookie: " + "a=b; " * 5_000,
        "Range: bytes=" + "0-1," * 5_000,
        "Expect: 100-continue",
        "Upgrade: websocket\nConnection: Upgrade",
    ]
    # What is no HTTP is refused before the application hears of it: without a sentence.
    return [
        by_others(raw(server, f"{method} /api/v1/{path} HTTP/1.1\n{header}", [b"{}"], seconds=3))
        for header in sent
        for method, path in (("POST", "heads"), ("GET", "classifiers/ages/head?format=txt"))
    ]


def _fields(server: Server) -> list[Answer]:
    fields = {f"field {n}": (None, "a") for n in range(10_000)}
    files = {f"file {n}": (f"{n}.jpg", b"x") for n in range(3_000)}
    answers: list[Answer] = []
    for path in ("/api/v1/classify", "/gradio_api/upload"):
        three = [
            post(server, path, files={**fields, "picture": ("p.jpg", b"x")}),
            post(server, path, files=files),
            _long_field(server, path),
        ]
        answers += map(by_others, three) if "gradio" in path else three
    return answers


def _long_field(server: Server, path: str) -> Answer:
    begin = b'--b\r\nContent-Disposition: form-data; name="classifier"\r\n\r\n'
    head = f"POST {path} HTTP/1.1\nContent-Type: multipart/form-data; boundary=b\n"
    parts = [begin, *[b"a" * BLOCK] * 45, b"\r\n--b--\r\n"]
    return raw(
        server, head + f"Content-Length: {sum(map(len, parts))}", parts, seconds=MOST_SECONDS
    )


def _large_upload(server: Server) -> list[Answer]:
    path, kind, first = UPLOAD
    blocks = [b"a" * BLOCK] * 300
    length = len(first) + BLOCK * len(blocks)
    head = f"POST {path} HTTP/1.1\nContent-Type: {kind}\nContent-Length: {length}"
    return [by_others(raw(server, head, [first, *blocks], seconds=MOST_SECONDS))]


def _page_classes(server: Server) -> list[Answer]:
    body = json.dumps({"data": ["", "a {}", "a\n" * 12_000_000]}).encode()
    return [call_with_body(server, "create_classifier", body)]
