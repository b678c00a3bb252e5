"""The attacked server: `app.py` as a person starts it, in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import psutil

from attacks import ROOT

SECONDS_TO_START = 120
MAX_FILE_BYTES = 4_000_000_000  # a copy of /dev/zero must not fill this machine's disk
ARGUMENTS = ("--model", "builtin", "--requests-a-minute", "0", "--heads-a-day", "0")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _bound_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


class Server:
    """A running server, and where it keeps its files.

    Attributes:
        uploads, temporary, cache: its folders, below `folder`; `cache` may be given instead.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cache: Path | None = None,
        temporary: Path | None = None,
        arguments: Sequence[str] = ARGUMENTS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.uploads = folder / "uploads"
        self.temporary = temporary or folder / "tmp"
        self.cache = cache or folder / "cache"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.temporary.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        own = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GRADIO_")},
            "GRADIO_TEMP_DIR": str(self.uploads),
            "TMPDIR": str(self.temporary),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "2",
            **(environment or {}),
        }
        command = [sys.executable, "app.py", "--port", str(self.port), *arguments]
        command += ["--cache-dir", str(self.cache)]
        with open(folder / "log.txt", "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=own,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all that it starts can be ended with it
                preexec_fn=_bound_files,
            )

    def wait_until_ready(self) -> Server:
        """Returns once the model answers; a server that does not start is killed.

        Raises:
            RuntimeError: it ended, or took too long.
        """
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and self.is_running():
            with contextlib.suppress(httpx.HTTPError, ValueError):
                if httpx.get(f"{self.url}/api/v1/healthz", timeout=10).json()["ready"]:
                    return self
            time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"The server did not start:\n{self.log()[-2_000:]}")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def megabytes(self) -> float:
        """Resident memory of the process and all it started, in MB."""
        return tree_megabytes(self.process.pid)

    def folders(self) -> dict[str, Path]:
        return {"uploads": self.uploads, "cache": self.cache, "temporary": self.temporary}

    def stop(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=8)
        self.kill()  # also what it left running

    def kill(self) -> None:
        """kill -9 of the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tree_megabytes(pid: int) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it may just have ended
                total += process.memory_info().rss
    return total / 1e6
