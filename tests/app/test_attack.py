"""The attack bench in short, and that its judges do find what they look for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attacks.bench import Bench, memory_below
from attacks.client import Answer, get
from attacks.disks import is_whole_zip
from attacks.files import judge_pair
from attacks.judge import why_bad
from attacks.outside import CANARY, Pair, files_with_canaries
from attacks.report import Row, table
from attacks.watch import Probe

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 400  # twice what it takes on two cores that are busy with other tests

# What takes under two minutes together; crowds, mixed requests and crashes take three more.
PARTS = ("pictures", "heavy", "files", "heads", "words")


@pytest.fixture
def row() -> Row:
    return Row("a part", "an attack")


@pytest.fixture
def silent_server() -> Iterator[Any]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port)


def test_strangers_can_neither_read_files_nor_stop_the_server() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "attack.py"), "--quick"]
    for part in PARTS:
        command += ["--part", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3_000:]}"


def test_a_canary_in_a_copy_is_found_and_a_link_to_it_is_no_copy(tmp_path: Path) -> None:
    copy = tmp_path / "uploads" / "deep" / "copy.bin"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"\0" * 5_000 + CANARY.encode() + b"\0")
    (tmp_path / "uploads" / "other.txt").write_text("nothing")
    (tmp_path / "uploads" / "link").symlink_to(copy)
    assert files_with_canaries([tmp_path / "uploads"]) == [copy]


def test_an_answer_that_tells_of_a_file_fails(row: Row) -> None:
    pair = Pair("txt", "/a/present.txt", "/a/absent0.txt")
    judge_pair(row, "silent", pair, lambda path: Answer("4xx", 0.1, f"No {path} here."), 5)
    assert not row.failures, "the path itself is no difference"
    judge_pair(row, "copied", pair, lambda path: Answer("2xx", 0.1, f"{CANARY} cat"), 5)
    assert "the answer holds" in row.failures[0]
    told = {"/a/present.txt": "It is no picture.", "/a/absent0.txt": "It is gone."}
    judge_pair(row, "told", pair, lambda path: Answer("4xx", 0.1, told[path]), 5)
    assert "a file that is there" in row.failures[-1]


def test_a_server_that_takes_memory_fails_even_when_it_gives_it_back(row: Row) -> None:
    code = "import time; input(); x = b'x' * 300_000_000; time.sleep(0.4); del x; print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout
        server: Any = SimpleNamespace(process=child, kill=child.kill)
        with memory_below(row, server, 200):
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
        child.kill()
    assert row.megabytes is not None and 250 < row.megabytes < 400
    assert "took" in row.verdict and row.verdict.startswith("FAILED")


def test_a_server_that_hangs_is_reported_and_the_bench_goes_on(silent_server: Any) -> None:
    begun = time.monotonic()
    answer = get(silent_server, "/api/v1/healthz", seconds=0.5)
    assert answer.kind == "hangs" and time.monotonic() - begun < 3
    assert "hangs" in (why_bad(answer) or "")
    never = threading.Event()

    def wait() -> Answer:
        never.wait(10)
        return Answer("2xx", 0.0)

    with Probe(wait, 0.2, "healthz") as probe:
        time.sleep(0.5)
        failures = probe.failures()
        never.set()
    assert "healthz waited" in failures[0], "an answer that never came was not counted"


@pytest.mark.parametrize(
    "answer",
    [
        Answer("5xx", 0.1, '{"detail": "The server made a mistake."}'),
        Answer("503", 0.1, '{"detail": "The server is busy."}'),
        Answer("4xx", 0.1, '{"detail": "No such file: /tmp/a/b.jpg."}'),
        Answer("4xx", 0.1, ""),
        Answer("page Error", 0.1, '{"error": null}'),
        Answer("closed", 0.1),
    ],
    ids=lambda answer: answer.kind,
)
def test_an_answer_without_a_reason_fails(answer: Answer) -> None:
    assert why_bad(answer)


def test_half_an_encoder_is_no_whole_file() -> None:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", os.urandom(5_000))
    whole = buffer.getvalue()
    assert is_whole_zip(whole)
    assert not any(map(is_whole_zip, (b"", whole[:3_000], whole[:-30])))


def test_a_part_that_breaks_or_takes_too_long_is_a_row_that_failed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quick=True)

    def broken(_: Bench) -> None:
        raise KeyError("no such thing")

    def slow(bench: Bench) -> None:
        while True:
            time.sleep(0.05)
            bench.check_time()

    bench.run_part("broken", broken, 5)
    bench.run_part("slow", slow, 0.2)
    assert [bool(row.failures) for row in bench.rows] == [True, True]
    assert table(bench.rows).count("FAILED") == 2
