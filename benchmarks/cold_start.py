"""From the start of the process to the page, and to the first answer."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.measure import Row
from benchmarks.pictures import photo

REPEATS = 3
ROOT = Path(__file__).resolve().parent.parent
EMPTY_APP = """
import gradio, sys
with gradio.Blocks() as blocks:
    pass
blocks.launch(server_port=int(sys.argv[1]))
"""
IMPORTS = "import torch, open_clip, gradio"


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, deaf_hub() as hub:
        no_models = {"HF_ENDPOINT": hub, "HF_HOME": folder}

        def app(*options: str) -> list[str]:
            cache = tempfile.mkdtemp(dir=folder)  # new: no head is there from the last start
            return [sys.executable, "app.py", "--cache-dir", cache, *options, "--port"]

        page, empty = _both(
            lambda: _until(app("--offline", "--model", "builtin"), _answers_page),
            lambda: _until([sys.executable, "-c", EMPTY_APP], _answers_page),
        )
        first, imports = _both(
            lambda: _until(app("--offline", "--model", "builtin"), _answers_picture),
            lambda: _until_end([sys.executable, "-c", IMPORTS]),
        )
        auto, offline = _both(
            lambda: _until(app(), _answers_picture, no_models),
            lambda: _until(app("--offline"), _answers_picture, no_models),
        )
    deaf = "start → first answer, a hub that never speaks: seconds more"
    return [
        Row("start → page answers", "an empty gr.Blocks", page, empty, "s", page / empty, "<=1.3"),
        Row("start → first answer", IMPORTS, first, imports, "s", first / imports, "<=1.3"),
        Row(deaf, "--offline", auto, offline, "s", auto - offline, "<=1"),
    ]


@contextmanager
def deaf_hub() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _both(ours: Callable[[], float], peers: Callable[[], float]) -> tuple[float, float]:
    """Medians of both, taken in turns so that a noisy minute meets both."""
    times = [(ours(), peers()) for _ in range(REPEATS)]
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def _until(
    command: list[str], answers: Callable[[str], bool], environment: Mapping[str, str] = {}
) -> float:
    """Seconds from the start of `command` with a port behind it until its server answers."""
    port = _free_port()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(port)], cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while process.poll() is None:
            try:
                if answers(f"http://127.0.0.1:{port}"):
                    return time.perf_counter() - begun
            except httpx.TransportError:
                time.sleep(0.02)
        raise RuntimeError(f"{command} ended with {process.returncode} before it answered")
    finally:
        process.kill()
        process.wait()


def _answers_page(url: str) -> bool:
    return httpx.get(url, timeout=60).status_code == httpx.codes.OK


def _answers_picture(url: str) -> bool:
    files = {"picture": photo().read_bytes()}
    answer = httpx.post(
        f"{url}/api/v1/classify", files=files, data={"classifier": "nouns"}, timeout=60
    )
    return bool(answer.raise_for_status().json()["guesses"])


def _until_end(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]
