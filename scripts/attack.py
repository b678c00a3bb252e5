"""The attack bench: what strangers may send to a server, sent, and how the server bore it.

python scripts/attack.py [--quick] [--part NAME ...] [--seed 0]

Starts servers of its own on 127.0.0.1, with the built-in model and folders of their own, and
asks nobody else.  Ends by itself: with --quick in about two minutes, else in about thirty.
Exits with 1 where a row of the table FAILED.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

from attacks.bench import Bench
from attacks.report import machine, table

# name → seconds that it may take, quick and whole
PARTS = {
    "pictures": (90, 900),
    "heavy": (120, 900),
    "files": (90, 900),
    "heads": (60, 300),
    "words": (90, 600),
    "crowd": (90, 600),
    "mixed": (60, 600),
    "crash": (120, 900),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a share of each part")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--keep", type=Path, help="an empty folder; what is written stays there")
    chosen = parser.parse_args(arguments)
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = chosen.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="headsmith-attack-"))
        )
        bench = Bench(folder.resolve(), quick=chosen.quick, seed=chosen.seed)
        stack.callback(bench.drop_server)
        for name in chosen.part or PARTS:
            print(f"{name} ...", flush=True)
            run = importlib.import_module(f"attacks.{name}").run
            bench.run_part(name, run, PARTS[name][0 if chosen.quick else 1])
    failed = sum(bool(row.failures) for row in bench.rows)
    print(f"\n{machine()}\n\n{table(bench.rows)}\n")
    print(f"{len(bench.rows)} rows, {failed} FAILED, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    sys.exit(main())
