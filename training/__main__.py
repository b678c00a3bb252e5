"""`python -m training <step>`: makes the built-in model, a step at a time, resumable.

Each step reads what the steps before it left in `--work`. See `training/README.md`.
"""

import argparse
from pathlib import Path

import torch

from training import steps
from training.architecture import DEFAULT_FOLDER
from training.collections import COLLECTIONS

EPOCHS = {"text": 6, "hypernyms": 3, "projection": 12}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line: a sub-parser a step, each with the flags it reads."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    step_parsers = parser.add_subparsers(dest="step", required=True)
    for name, run in steps.STEPS.items():
        step = step_parsers.add_parser(name, help=run.__doc__)
        step.add_argument("--work", type=Path, required=True, help="folder for what steps leave")
        step.add_argument("--threads", type=int, default=torch.get_num_threads())
        step.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="checkpoint folder")
        if name in steps.NEEDS_DATA:
            step.add_argument("--data", type=Path, required=True, help="folder of git repositories")
        if name in EPOCHS:
            step.add_argument("--epochs", type=int, default=EPOCHS[name])
        if name == "hypernyms":
            step.add_argument("--start", type=Path, help="checkpoint whose text tower goes on")
        if name == "features":
            step.add_argument("--collection", choices=list(COLLECTIONS), action="append")
            step.add_argument("--views", type=int, default=3, help="views of a training picture")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Runs one step."""
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    steps.STEPS[options.step](options)


if __name__ == "__main__":
    main()
