"""Making heads: against open_clip's own builder, cold and from the store."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row, in_new_process, median_seconds, once_seconds
from classifiers.encoder.encoder import Encoder
from classifiers.encoder.executor import compute
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore
from classifiers.heads.zero_shot import build_zero_shot_head
from classifiers.words.label_lists import load_label_list

TEMPLATE = "This is a photo of a {}"
GROWTH = (100, 300, 1_000, 3_000, 10_000)  # classes
MEMORY_CODE = """
import sys
from classifiers.encoder.load import load_encoder
from classifiers.words.label_lists import load_label_list
from classifiers.heads.zero_shot import build_zero_shot_head

def megabytes(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024

encoder = load_encoder(sys.argv[1])
encoder.encode_texts(["a photo of a cat"] * 8)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")  # the peak begins anew: loading needs more than building
before = megabytes("VmRSS")
build_zero_shot_head(encoder, load_label_list("nouns").classes, [sys.argv[2]], name="nouns")
print(megabytes("VmHWM") - before)
"""


def peers_head(encoder: Encoder, classes: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """open_clip's builder with the same weights: `(n_classes, embed_dim)`."""
    fill = [lambda name, t=template: t.replace("{}", name) for template in templates]
    with torch.inference_mode():
        weights = open_clip.build_zero_shot_classifier(
            encoder.model, encoder._tokenizer, list(classes), fill
        )
    return weights.T.numpy()


def cold_row(
    encoder: Encoder,
    what: str,
    classes: Sequence[str],
    templates: Sequence[str],
    target: str,
    share: float,
) -> list[Row]:
    """Ours on all classes against the peer on a `share` of them, scaled by that share."""
    few = list(classes)[: max(1, round(len(classes) * share))]
    ours = median_seconds(lambda: build_zero_shot_head(encoder, classes, templates, name="x"))
    begun = time.perf_counter()
    expected = compute(peers_head, encoder, few, templates)
    peers = (time.perf_counter() - begun) * len(classes) / len(few)
    got = build_zero_shot_head(encoder, few, templates, name="x").weights
    note = "" if share == 1 else f"peer timed on {len(few)} classes and scaled"
    return [
        Row(what, "open_clip builder", ours, peers, "s", peers / ours, target, note),
        Row(
            f"largest difference, {what}", "open_clip builder",
            float(np.abs(got - expected).max()), None, "",
            float(np.abs(got - expected).max()), "<=1e-5",
        ),
    ]  # fmt: skip


def again_row(encoder: Encoder, classes: Sequence[str]) -> list[Row]:
    """The second time, in this process and after a restart, against the first."""
    with tempfile.TemporaryDirectory() as folder:
        library = HeadLibrary(encoder, HeadStore(Path(folder)))
        cold = once_seconds(lambda: library.create("x", [TEMPLATE], classes))
        warm = median_seconds(lambda: library.create("x", [TEMPLATE], classes))

        def after_restart() -> None:
            HeadLibrary(encoder, HeadStore(Path(folder))).create("x", [TEMPLATE], classes)

        restarted = median_seconds(after_restart)
    n = f"{len(classes):,} classes"
    return [
        Row(f"{n} a second time", "itself cold", warm, cold, "s", cold / warm, ">=200"),
        Row(f"{n} after a restart", "itself cold", restarted, cold, "s", cold / restarted, ">=200"),
    ]


def rate_row(encoder: Encoder) -> Row:
    """How much of this machine's float32 peak the building of 4,000 nouns reaches."""
    classes = load_label_list("nouns").classes
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    peak = 2 * 2048**3 / median_seconds(lambda: compute(torch.matmul, a, b))
    counter = FlopCounterMode(display=False)
    compute(counter.__enter__)  # it counts in its own thread only
    build_zero_shot_head(encoder, classes, [TEMPLATE], name="x")
    compute(counter.__exit__, None, None, None)
    work = counter.get_total_flops()
    rate = work / once_seconds(lambda: build_zero_shot_head(encoder, classes, [TEMPLATE], name="x"))
    return Row(
        "matrix-product rate, 4,000 nouns", "2048³ float32 product", rate / 1e9, peak / 1e9,
        "GFLOP/s", rate / peak, ">=0.5",
    )  # fmt: skip


def memory_row(model: str) -> Row:
    grown = float(in_new_process(MEMORY_CODE, model, TEMPLATE))
    return Row("memory for 4,000 nouns", "loaded model", grown, None, "MB", grown, "<=300")


def growth(encoder: Encoder) -> list[tuple[int, float]]:
    """`(classes, seconds)` for lists that grow, their names no longer on average."""
    nouns, chance = load_label_list("nouns").classes, random.Random(0)
    names = [" ".join(chance.sample(nouns, 2)) for _ in range(max(GROWTH))]
    points = []
    for n in GROWTH:
        build = partial(build_zero_shot_head, encoder, names[:n], [TEMPLATE], name="x")
        points.append((n, once_seconds(build)))
    return points
