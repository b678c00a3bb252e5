"""From trained parts to the checkpoint the product loads, calibrated.

The fitted numbers come from the even half of the held-out pictures, through the heads the
product builds; the card's rows are measured on the odd half.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import CLIP

from classifiers import Encoder, Head, load_encoder
from classifiers.encoder.builtin_tower import ARCHITECTURE, fold_batch_norm
from classifiers.models.calibration import CALIBRATION_FILE, ModelCalibration
from training.architecture import EMBED_DIM, build_model, write_checkpoint
from training.backbone import BACKBONE_PIXELS, load_backbone
from training.calibrate import (
    HalfSet,
    Labelled,
    fit_independent,
    fit_logit_scale,
    fit_none_of_these,
)
from training.captions import Caption
from training.evaluate import default_head, half_of, shipped_head, unique_names
from training.projection import Trainee

CARD = {
    "name": "Headsmith built-in",
    "summary": (
        "Names ImageNet's thousand things, what is like them, and what everyday photographs show; "
        "not faces, written text, or anything small."
    ),
    "licence": "Apache-2.0; see README.md for the terms of what it was trained on",
}
BACKGROUND_PICTURES = 800
SMALL_SETS = 8  # drawn at random, of ten classes each, to fit the scale of short lists
EVEN = slice(None, None, 2)


def checkpoint_config(text_config: dict[str, Any]) -> dict[str, Any]:
    """`open_clip_config.json` of the built-in model."""
    return {
        "model_cfg": {
            "embed_dim": EMBED_DIM,
            "vision_cfg": {
                "timm_model_name": ARCHITECTURE,
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "",
                "image_size": BACKBONE_PIXELS,
            },
            "text_cfg": text_config,
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def assemble(trainee: Trainee, text_tower: CLIP, config: dict[str, Any]) -> CLIP:
    """Backbone, projection and text tower as one model."""
    model = build_model(config)
    model.visual.trunk.backbone.load_state_dict(fold_batch_norm(load_backbone()).state_dict())
    model.visual.trunk.words.load_state_dict(trainee.projection.state_dict())
    own = model.state_dict()
    of_text = {
        name: tensor
        for name, tensor in text_tower.state_dict().items()
        if name in own and not name.startswith("visual.")
    }
    model.load_state_dict(of_text, strict=False)
    return model.eval()


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The even half of a collection's held-out pictures: unit rows, and the right answers."""

    images: np.ndarray
    labels: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Every label once, in alphabetical order."""
        return sorted(set(self.labels))


def labelled(head: Head, pictures: HeldOut) -> Labelled:
    """The pictures with the place of each label among the head's classes."""
    place = {name: i for i, name in enumerate(head.classes)}
    truth = np.array([place[label] for label in pictures.labels])
    return Labelled(head.weights, pictures.images, truth)


def answers(head: Head, right: list[set[str]]) -> np.ndarray:
    """Which classes are right for each picture: bool (n, n_classes)."""
    return np.array([[name in words for name in head.classes] for words in right])


def small_sets(encoder: Encoder, pictures: HeldOut) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cosines and right answers of classifiers of ten classes drawn at random."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(SMALL_SETS):
        names = sorted(rng.choice(pictures.names, 10, replace=False))
        head = default_head(encoder, names)
        asked = np.array([label in names for label in pictures.labels])
        right = [{label} for label in pictures.labels if label in names]
        found.append((pictures.images[asked] @ head.weights.T, answers(head, right)))
    return found


def fit_calibration(
    encoder: Encoder,
    background: np.ndarray,
    nearest_word: np.ndarray,
    kept: dict[str, HeldOut],
    photographs: HeldOut,
    captions: list[Caption],
) -> ModelCalibration:
    """Every fitted number of the model.

    Args:
        encoder: the model before its calibration.
        background, nearest_word: as `ModelCalibration` has them.
        kept: even halves of Caltech-101, professions, dishes and groceries.
        photographs: the even half of the thousand photographs; their labels are ids.
        captions: of `photographs`, one a picture.
    """
    nouns = shipped_head(encoder, "nouns")
    heads = {name: default_head(encoder, pictures.names) for name, pictures in kept.items()}
    sets = {name: labelled(head, kept[name]) for name, head in heads.items()}
    one_right = {
        name: (each.images @ each.weights.T, np.eye(len(each.weights), dtype=bool)[each.truth])
        for name, each in sets.items()
    }
    names = default_head(encoder, [caption.name for caption in unique_names(captions)])
    by_name = photographs.images @ names.weights.T
    by_noun = photographs.images @ nouns.weights.T
    scales = (
        (
            10,
            [one_right["professions"], one_right["dishes"], *small_sets(encoder, kept["caltech"])],
        ),
        (100, [one_right["caltech"]]),  # names it was never taught, as visitors type them
        (1000, [(by_name, answers(names, [{caption.name} for caption in captions]))]),
        (len(nouns.classes), [(by_noun, answers(nouns, [c.words for c in captions]))]),
    )
    calibration = ModelCalibration(
        background,
        nearest_word,
        tuple((count, fit_logit_scale(label_sets)) for count, label_sets in scales),
        closeness=0.8,
        quantile=0.9,
        independent=(0.0, 0.0, 0.0, 0.0),
    )
    calibration = fit_independent(calibration, list(sets.values()))
    half_sets = [half_set(encoder, each.names, each) for each in kept.values()]
    words = [caption.words for caption in captions]
    half_sets.append(half_of_nouns(nouns, photographs.images, words))
    everything = HalfSet(nouns.weights, photographs.images, np.ones(len(captions), bool))
    return fit_none_of_these(calibration, half_sets, everything)


def half_set(encoder: Encoder, names: list[str], pictures: HeldOut) -> HalfSet:
    """Half of a collection's classes, and which pictures show one of them."""
    chosen = half_of(names)
    inside = np.array([label in set(chosen) for label in pictures.labels])
    return HalfSet(default_head(encoder, chosen).weights, pictures.images, inside)


def half_of_nouns(nouns: Head, images: np.ndarray, words: list[set[str]]) -> HalfSet:
    """Half of the nouns, and which photographs show one of them."""
    chosen = set(half_of(list(nouns.classes)))
    rows = [i for i, name in enumerate(nouns.classes) if name in chosen]
    inside = np.array([bool(right & chosen) for right in words])
    return HalfSet(nouns.weights[rows], images, inside)


def write_uncalibrated(model: CLIP, config: dict[str, Any], folder: Path) -> Encoder:
    """Writes the checkpoint with its card and without a calibration, and loads it."""
    (folder / CALIBRATION_FILE).unlink(missing_ok=True)
    write_checkpoint(model, config, folder)
    card = {**CARD, "parameters": sum(p.numel() for p in model.parameters())}
    (folder / "headsmith.json").write_text(json.dumps(card, indent=2) + "\n")
    return load_encoder(f"local-dir:{folder}")


def write_calibrated(
    model: CLIP, config: dict[str, Any], folder: Path, calibration: ModelCalibration
) -> None:
    """Writes checkpoint and calibration; the model's own scale is that of a hundred classes."""
    with torch.no_grad():
        model.logit_scale.fill_(math.log(calibration.logit_scale(100)))
    write_checkpoint(model, config, folder)
    calibration.save(folder / CALIBRATION_FILE)
