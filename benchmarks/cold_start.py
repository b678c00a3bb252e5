"""From the start of the process to the page, and to the first answer."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.measure import Row

REPEATS = 3
ROOT = Path(__file__).resolve().parent.parent
EMPTY_APP = "import gradio, sys; b = gradio.Blocks(); b.launch(server_port=int(sys.argv[1]))"
IMPORTS = "import torch, open_clip, gradio"
FIRST_ANSWER = """
import threading
threading.Thread(target=__import__, args=("ui.page",)).start()  # as app.py: page and model at once
from classifiers import build_zero_shot_head, load_encoder, open_picture
from benchmarks.pictures import photo
encoder = load_encoder("builtin")
head = build_zero_shot_head(encoder, ["cat", "dog", "lion"], ["a photo of a {}"], name="x")
head.predict(encoder.encode_images([open_picture(photo())]))
"""


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as cache:
        ours = [sys.executable, "app.py", "--offline", "--model", "builtin", "--cache-dir", cache]
        page, empty = _both(
            lambda port: _until_answer([*ours, "--port", str(port)], port),
            lambda port: _until_answer([sys.executable, "-c", EMPTY_APP, str(port)], port),
        )
    first, imports = _both(
        lambda _: _until_end([sys.executable, "-c", FIRST_ANSWER]),
        lambda _: _until_end([sys.executable, "-c", IMPORTS]),
    )
    return [
        Row("start → page answers", "an empty gr.Blocks", page, empty, "s", page / empty, "<=1.3"),
        Row("start → first answer", IMPORTS, first, imports, "s", first / imports, "<=1.3"),
    ]


def _both(ours: object, peers: object) -> tuple[float, float]:
    """Medians of both, taken in turns so that a noisy minute meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for kept, work in zip(times, (ours, peers), strict=True):
            kept.append(work(_free_port()))  # type: ignore[operator]
    return statistics.median(times[0]), statistics.median(times[1])


def _until_answer(command: list[str], port: int) -> float:
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60):
                    return time.perf_counter() - begun
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"{command} ended with {process.returncode} before it answered")
    finally:
        process.kill()
        process.wait()


def _until_end(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]
