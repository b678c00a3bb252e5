"""The backbone's features of every picture, and of random crops of it, kept on disk.

A view is a way of cutting a picture: view 0 is the product's own (the middle square), the
others are random crops, mirrored or not, always the same for the same picture and number.
Computed once, in parts, so that an interrupted run goes on; then a trial takes minutes.
"""

import io
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import RandomResizedCrop
from tqdm import tqdm

from training.backbone import BACKBONE_PIXELS, load_backbone
from training.collections import Collection, Photograph

PART_PICTURES = 1024
BATCH_PICTURES = 8
FEATURES = 1280
MAX_VIEWS = 4


class _Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone: Any = load_backbone()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.backbone.global_pool(self.backbone.forward_features(pixels))
        return pooled


def open_backbone(work: Path, threads: int) -> onnxruntime.InferenceSession:
    """The backbone in ONNX Runtime, three times as fast here as eager torch."""
    path = work / "backbone.onnx"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        example = torch.zeros(1, 3, BACKBONE_PIXELS, BACKBONE_PIXELS)
        partial_path = path.with_suffix(".tmp")
        torch.onnx.export(
            _Features().eval(),
            (example,),
            str(partial_path),
            input_names=["pixels"],
            output_names=["features"],
            dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
        partial_path.rename(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options)


def cut(content: bytes, view: int, seed: str) -> np.ndarray:
    """A picture file → one view of it: float32 (3, 260, 260), in [-1, 1]."""
    with Image.open(io.BytesIO(content)) as opened:
        opened.draft("RGB", (2 * BACKBONE_PIXELS, 2 * BACKBONE_PIXELS))
        picture = opened.convert("RGB")
    size = (BACKBONE_PIXELS, BACKBONE_PIXELS)
    if view == 0:
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        resized = picture.resize(size, Image.Resampling.BICUBIC, box)
    else:
        torch.manual_seed(random.Random(f"{seed}/{view}").getrandbits(32))
        top, left, height, width = RandomResizedCrop.get_params(picture, (0.4, 1.0), (0.8, 1.25))
        box = (left, top, left + width, top + height)
        resized = picture.resize(size, Image.Resampling.BICUBIC, box)
        if torch.rand(()) < 0.5:
            resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return (np.asarray(resized, np.float32) / 127.5 - 1).transpose(2, 0, 1)


def compute_view(
    collection: Collection, data: Path, work: Path, view: int, session: onnxruntime.InferenceSession
) -> None:
    """Writes `work/features/<collection>-<view>/<part>.npy`, float16 (n, 1280), what is missing.

    Random views are made of training pictures only.
    """
    repository = collection.open(data)
    photographs = viewed(collection.photographs(repository), view)
    folder = work / "features" / f"{collection.name}-{view}"
    folder.mkdir(parents=True, exist_ok=True)
    for start in tqdm(range(0, len(photographs), PART_PICTURES), desc=folder.name):
        path = folder / f"{start:06d}.npy"
        if path.exists():
            continue
        part = photographs[start : start + PART_PICTURES]
        contents = repository.read_blobs([each.blob for each in part])
        rows = []
        with ThreadPoolExecutor(1) as pool:
            pictures = pool.map(
                lambda pair: cut(pair[0], view, pair[1].path), zip(contents, part, strict=True)
            )
            while batch := list(islice(pictures, BATCH_PICTURES)):
                rows.append(session.run(None, {"pixels": np.stack(batch)})[0])
        unfinished = path.with_suffix(".tmp.npy")
        np.save(unfinished, np.concatenate(rows).astype(np.float16))
        unfinished.rename(path)


def viewed(photographs: list[Photograph], view: int) -> list[Photograph]:
    """The pictures that have this view: held-out ones have only the first."""
    return [each for each in photographs if view == 0 or not each.is_held_out]


def load_features(work: Path, name: str, view: int) -> np.ndarray | None:
    """What `compute_view` wrote, float16 (n, 1280) in the order of `viewed`; None if nothing."""
    parts = sorted((work / "features" / f"{name}-{view}").glob("[0-9]*[0-9].npy"))
    return np.concatenate([np.load(part) for part in parts]) if parts else None


def load_views(
    collection: Collection, photographs: list[Photograph], work: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Features of a collection: of training pictures in every view there is, and held-out ones.

    Returns:
        float16 (n_training, n_views, 1280) and (n_held_out, 1280).

    Raises:
        ValueError: the first view is not computed, or not of these pictures.
    """
    first = load_features(work, collection.name, 0)
    if first is None or len(first) != len(photographs):
        raise ValueError(f"Compute the features of {collection.name} first.")
    held_out = np.array([each.is_held_out for each in photographs])
    views = [first[~held_out]]
    for view in range(1, MAX_VIEWS):
        more = load_features(work, collection.name, view)
        if more is not None and len(more) == len(views[0]):
            views.append(more)
    return np.stack(views, axis=1), first[held_out]
