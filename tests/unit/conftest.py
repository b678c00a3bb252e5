"""Shared by the unit tests: heads of random weights, and a model that answers like SigLIP."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_rows import unit_rows

from classifiers.heads.head import Head


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose time when several threads wait for each other."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def make_head() -> Callable[..., Head]:
    """`make_head(n_classes=7, **what differs)`: a head of 16 numbers a class."""

    def make(n_classes: int = 7, embed_dim: int = 16, **changes: Any) -> Head:
        entries: dict[str, Any] = {
            "name": "Cat breeds",
            "classes": tuple(f"class {i}" for i in range(n_classes)),
            "weights": unit_rows(n_classes, embed_dim),
            "model": "local-dir:tiny",
            "fingerprint": "0123456789abcdef",
            "logit_scale": 20.0,
            "image_size": (32, 32),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "templates": ("a photo of a {}",),
        }
        return Head(**{**entries, **changes})

    return make


@pytest.fixture
def embeddings() -> np.ndarray:
    """Image embeddings `(9, 16)` that nobody normalised."""
    return np.random.default_rng(1).normal(size=(9, 16)).astype(np.float32) * 3.0


@pytest.fixture(scope="session")
def sigmoid_encoder(tmp_path_factory: pytest.TempPathFactory):
    """A tiny model built like SigLIP: with a bias, and a text tower that reads both ways."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    from tiny_model import CONFIG

    from classifiers.encoder.load import load_encoder

    config = copy.deepcopy(CONFIG)
    model_cfg = config["model_cfg"]
    model_cfg["init_logit_bias"] = -10.0
    model_cfg["custom_text"] = True
    model_cfg["text_cfg"].update(no_causal_mask=True, pool_type="last", proj_bias=True)
    directory = Path(tmp_path_factory.mktemp("models")) / "sigmoid"
    directory.mkdir()
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(
        model_cfg["embed_dim"],
        model_cfg["vision_cfg"],
        model_cfg["text_cfg"],
        init_logit_bias=model_cfg["init_logit_bias"],
    )
    save_file(model.state_dict(), str(directory / "open_clip_model.safetensors"))
    return load_encoder(f"local-dir:{directory}")
