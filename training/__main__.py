"""`python -m training <step>`: makes the built-in model, a step at a time, resumable.

Each step reads what the steps before it left in `--work`. See `training/README.md`.
"""

import argparse
from pathlib import Path

import torch

from training import steps
from training.architecture import DEFAULT_FOLDER


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; every step has the folder it works in and a number of threads."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("step", choices=list(steps.STEPS))
    parser.add_argument("--work", type=Path, required=True, help="folder for what steps leave")
    parser.add_argument("--data", type=Path, help="folder with tiny-imagenet-200/ and cifar10/")
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="checkpoint folder")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, its words kept")
    parser.add_argument(
        "--average",
        type=Path,
        nargs="*",
        default=[],
        help="earlier checkpoints to average with the image tower, by finish",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--epochs", type=int, default=6, help="of the text tower")
    parser.add_argument("--plan", default="48x6,64x4,96x2", help="PIXELSxEPOCHS of the image tower")
    parser.add_argument("--round", type=int, default=1, help="of image training; 2 goes on from 1")
    parser.add_argument("--rate", type=float, default=0.15, help="peak of the image tower's")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Runs one step."""
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    steps.STEPS[options.step](options)


if __name__ == "__main__":
    main()
