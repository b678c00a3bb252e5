"""The app as a person starts it: a process of its own, on a free port, with folders of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_START = 180  # importing Gradio takes 4 s on an idle machine, and CI machines are not


@dataclass(frozen=True)
class RunningApp:
    """A served page, and where it keeps its files."""

    url: str
    folder: Path  # everything the process writes, its log included
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_app(
    folder: Path,
    model: str,
    *,
    url: str | None = None,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningApp]:
    """Starts `python app.py` and stops it at the end.

    Args:
        folder: empty; heads, uploads, exports and the log go there.
        model: as `--model` takes it.
        url, arguments: where it will answer and what tells it so; else a free port.
        environment: added to this process's own.
    """
    if arguments is None:
        port = free_port()
        url, arguments = f"http://127.0.0.1:{port}", ["--port", str(port)]
    assert url is not None
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    own = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GRADIO_")},
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        **(environment or {}),
    }
    command = [sys.executable, "app.py", "--cache-dir", str(folder / "cache"), "--model", model]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, env=own, stdout=log, stderr=subprocess.STDOUT
        )
    app = RunningApp(url, folder, process)
    try:
        _wait_until_served(app)
        yield app
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_served(app: RunningApp) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if app.process.poll() is not None:
            raise RuntimeError(f"the app ended before it served a page:\n{app.log}")
        try:
            if httpx.get(app.url, timeout=10).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"no page at {app.url} in {SECONDS_TO_START} s:\n{app.log}")
