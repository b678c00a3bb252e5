"""A CLIP model of random weights, small enough to make for every test run."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

CONFIG = {
    "model_cfg": {
        "embed_dim": 48,
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 32,
        },
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


def make_tiny_model(directory: Path) -> str:
    """Writes the model to `directory`; returns the name that `load_encoder` takes."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "open_clip_config.json").write_text(json.dumps(CONFIG))
    torch.manual_seed(0)
    cfg = CONFIG["model_cfg"]
    model = open_clip.CLIP(cfg["embed_dim"], cfg["vision_cfg"], cfg["text_cfg"])
    save_file(model.state_dict(), str(directory / "open_clip_model.safetensors"))
    return f"local-dir:{directory}"
