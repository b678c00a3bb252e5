"""Fits the image tower's last layer anew to the text tower's own word vectors.

After the text tower has learned where the words went, it is a little off; the projection,
one matrix, follows it in minutes. Works on the trunk's features, computed once.
"""

import numpy as np
import torch
from open_clip import CLIP
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from training.augment import normalise, random_crops
from training.image_tower import ImageData, WordTable
from training.schedule import one_cycle

BATCH = 512


@torch.inference_mode()
def trunk_features(
    model: CLIP, source: ImageData, size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """An epoch's pictures of one source → features (n, width) float16, and rows (n,).

    One half as the product sees a picture, one half in random crops.
    """
    model.visual.eval()
    order = torch.randperm(len(source.rows), generator=generator)[: source.an_epoch]
    features = []
    for number, part in enumerate(tqdm(order.split(BATCH), desc="features", mininterval=10)):
        pixels = source.pixels[part]
        x = normalise(pixels, size) if number % 2 else random_crops(pixels, size, generator)
        with torch.autocast("cpu", torch.bfloat16):
            features.append(model.visual.trunk(x).half())
    return torch.cat(features), source.rows[order]


def refit_projection(
    model: CLIP,
    table: WordTable,
    sources: list[ImageData],
    size: int,
    epochs: int = 6,
    peak_rate: float = 1e-3,
    weight_decay: float = 1e-3,
) -> float:
    """Trains the projection in `model` with the words of `table` held fast.

    Returns:
        The last smoothed loss.
    """
    generator = torch.Generator().manual_seed(0)
    parts = [(*trunk_features(model, s, size, generator), s.named) for s in sources]
    features = torch.cat([part[0] for part in parts])
    rows = torch.cat([part[1] for part in parts])
    named = torch.cat([torch.full((len(part[1]),), part[2]) for part in parts])
    projection: nn.Linear = model.visual.head.proj
    table.moved.requires_grad_(False)
    groups = [
        {"params": [projection.weight], "weight_decay": weight_decay},
        {"params": [table.log_scales], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=peak_rate)
    total, step, smooth = epochs * (len(rows) // BATCH), 0, float("nan")
    for _ in range(epochs):
        order = torch.from_numpy(np.random.default_rng(step).permutation(len(rows)))
        for part in order[: len(order) // BATCH * BATCH].split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, total, peak_rate)
            images = functional.normalize(projection(features[part].float()), dim=-1)
            loss = table.loss(images, rows[part], named[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            smooth = loss.item() if smooth != smooth else 0.98 * smooth + 0.02 * loss.item()
            step += 1
    return smooth
