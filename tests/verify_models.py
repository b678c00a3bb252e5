"""Checks the curated models with their real weights: `make verify-models`.

Fetches what is not on this machine yet (12 GB for all), so it is no part of `make test`.

    python tests/verify_models.py [--offline] [MODEL ...]

Known values: for ViT-B-32/openai the probabilities that the README of CLIP publishes for
its figure CLIP.png; for the others the embedding size and the number of parameters of
open_clip's tables, and that the figure is found to be a diagram.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image

from classifiers.encoder.encoder import Encoder
from classifiers.errors import HeadsmithError
from classifiers.heads.zero_shot import build_zero_shot_head
from classifiers.images import open_picture
from classifiers.loaded_models import LoadedModels
from classifiers.models.catalog import BUILTIN, ModelCard, curated_models

FIGURE = "https://raw.githubusercontent.com/mlfoundations/open_clip/main/docs/CLIP.png"
CLASSES = ("a diagram", "a dog", "a cat")
PUBLISHED = {"ViT-B-32/openai": (0.9927937, 0.00421068, 0.00299572)}
TOLERANCE = 2e-3  # the figure has been saved anew since, and resizing differs by version
SECONDS_FOR_THE_FIGURE = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", help="names; all curated ones if none is given")
    parser.add_argument("--offline", action="store_true", help="only models on this machine")
    parser.add_argument("--figure", type=Path, help="CLIP.png, where it cannot be fetched")
    chosen = parser.parse_args()

    cards = {card.name: card for card in curated_models() if card.name != BUILTIN}
    unknown = set(chosen.models) - set(cards)
    if unknown:
        parser.error(f"no curated model: {', '.join(sorted(unknown))}")
    try:
        figure = read_figure(chosen.figure)
    except (OSError, HeadsmithError) as error:
        print(f"CLIP.png could not be had ({error}); give it with --figure. Nothing was checked.")
        return 2

    rows, not_reached, failed = [], [], []
    with tempfile.TemporaryDirectory() as heads:
        models = LoadedModels(
            Path(heads), offline=chosen.offline, max_models=1, prepare_label_lists=False
        )
        for name in chosen.models or cards:
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                encoder = models.preload(name).result().encoder
            except HeadsmithError as error:
                not_reached.append(f"{name}: {error}")
                continue
            row, faults = check(cards[name], encoder, figure)
            rows.append(row)
            failed += [f"{name}: {fault}" for fault in faults]
            del encoder

    show(rows)
    for title, lines in (("Wrong", failed), ("Not reached, so not checked", not_reached)):
        if lines:
            print(f"\n{title}:\n  " + "\n  ".join(lines))
    print(f"\n{len(rows)} checked, {len(failed)} wrong, {len(not_reached)} not reached.")
    return 1 if failed else 2 if not_reached else 0


def read_figure(path: Path | None) -> Image.Image:
    if path is not None:
        return open_picture(path)
    with urllib.request.urlopen(FIGURE, timeout=SECONDS_FOR_THE_FIGURE) as answer:
        return open_picture(io.BytesIO(answer.read()))


def check(
    card: ModelCard, encoder: Encoder, figure: Image.Image
) -> tuple[tuple[str, ...], list[str]]:
    """A row of the table, and what is not as it is known to be."""
    head = build_zero_shot_head(encoder, CLASSES, ["{}"], name="CLIP.png")
    guesses = head.predict(encoder.encode_images([figure]), len(CLASSES))[0]
    found = {guess.class_name: guess.probability for guess in guesses}
    probabilities = [found[name] for name in CLASSES]
    n_parameters = sum(tensor.numel() for tensor in encoder.model.parameters())

    faults = []
    if encoder.embed_dim != card.embed_dim:
        faults.append(f"embeddings of {encoder.embed_dim} numbers, not {card.embed_dim}")
    if card.parameters and abs(n_parameters / card.parameters - 1) > 0.01:
        faults.append(f"{n_parameters:,} parameters, not {card.parameters:,}")
    if guesses.best.class_name != CLASSES[0]:
        faults.append(f"takes the figure for {guesses.best.class_name}")
    published = PUBLISHED.get(card.name)
    if published and max(map(abs, map(float.__sub__, probabilities, published))) > TOLERANCE:
        faults.append(f"probabilities {probabilities}, published {list(published)}")

    verdict = "wrong" if faults else "as published" if published else "plausible"
    shares = " ".join(f"{probability:.4f}" for probability in probabilities)
    size = f"{n_parameters / 1e6:.1f} M"
    return (card.name, size, str(encoder.embed_dim), head.activation, shares, verdict), faults


def show(rows: list[tuple[str, ...]]) -> None:
    heads = ("model", "parameters", "numbers", "activation", "diagram, dog, cat", "verdict")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
