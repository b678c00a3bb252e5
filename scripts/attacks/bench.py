"""What the parts share: the rows, the server in use, the time that is left."""

from __future__ import annotations

import itertools
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attacks.report import Row
from attacks.server import Server
from attacks.watch import PHOTO, MemorySampler


class OutOfTime(Exception):
    """A part has used up its time."""


class Bench:
    """One run of the attack bench.

    Args:
        folder: empty; everything that is written goes there.
        quick: only a share of each part.
        seed: of everything random.
    """

    def __init__(self, folder: Path, *, quick: bool, seed: int = 0) -> None:
        self.folder = folder
        self.quick = quick
        self.seed = seed
        self.rows: list[Row] = []
        self.part = ""
        self._deadline = float("inf")
        self._server: Server | None = None
        self._numbers = itertools.count()

    def random(self, what: str) -> random.Random:
        """The same numbers in every run, whatever other parts have drawn."""
        return random.Random(f"{self.seed} {self.part} {what}")

    def server(self) -> Server:
        """The server in use: one that answers; a new one where the last has gone."""
        self.check_time()
        if self._server is not None and not self._server.is_running():
            self.drop_server()
        if self._server is None:
            folder = self.folder / f"server-{next(self._numbers)}"
            self._server = Server(folder).wait_until_ready()
            self.warm_up(self._server)
        return self._server

    def warm_up(self, server: Server) -> None:
        """What is loaded with the first picture and the first head is nobody's attack."""
        from attacks.client import call, call_with_file, classify

        photo = PHOTO.read_bytes()
        classify(server, photo)
        call_with_file(server, "classify", photo, "lion.jpg", "ages")
        call(server, "create_classifier", ["", "a {}", "cat, dog"])

    def drop_server(self) -> None:
        """Stops the server in use; the next that asks gets a new one."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise OutOfTime

    def run_part(self, name: str, part: Callable[[Bench], None], seconds: float) -> None:
        """Runs one part; its own errors and its time being over are rows that failed."""
        self.part = name
        begun = time.monotonic()
        self._deadline = begun + seconds
        # Whatever a part waits for ends with the server.
        watchdog = threading.Timer(seconds, self._end_server)
        watchdog.start()
        try:
            part(self)
        except OutOfTime:
            self._failed("all of it", f"was not done in {seconds:.0f} s")
        except Exception as error:  # the bench goes on with its other parts
            late = time.monotonic() - begun >= seconds
            traceback.print_exc()
            self._failed("all of it", "out of time" if late else f"the bench broke: {error!r}")
        finally:
            watchdog.cancel()
            self._deadline = float("inf")
            if not self.quick:
                self.drop_server()
        print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)

    @contextmanager
    def row(self, what: str) -> Iterator[Row]:
        """A row of the table, said when it is done."""
        self.check_time()
        begun = time.monotonic()
        row = Row(self.part, what)
        self.rows.append(row)
        yield row
        print(f"  {time.monotonic() - begun:5.1f} s  {row.what}: {row.verdict}", flush=True)

    def _failed(self, what: str, why: str) -> None:
        row = Row(self.part, what)
        row.fail(why)
        self.rows.append(row)

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.kill()


@contextmanager
def memory_below(row: Row, server: Server, most_megabytes: float) -> Iterator[MemorySampler]:
    """Fails `row` where the server takes more memory while the block runs."""
    with MemorySampler(server.process.pid, server.kill) as memory:
        yield memory
    row.megabytes = max(row.megabytes or 0.0, memory.taken)
    if memory.killed:
        row.fail(f"the server was ended by the bench at {memory.peak:,.0f} MB")
    elif memory.taken > most_megabytes:
        row.fail(f"took {memory.taken:,.0f} MB; {most_megabytes:,.0f} is the most")
