"""The two towers as open_clip builds them, and how they are kept on disk.

Knows nothing of data. A *state* is a training state a step resumes from; the *checkpoint*
is what the product loads through `local-dir:`.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import load_file, save_file
from torch.nn import functional

EMBED_DIM = 384
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "builtin"


def read_config(folder: Path = DEFAULT_FOLDER) -> dict[str, Any]:
    """`open_clip_config.json` of a checkpoint's folder."""
    return json.loads((folder / CONFIG_FILE).read_text())


def preprocess_config() -> dict[str, Any]:
    """How open_clip prepares a picture: short side resized, centre crop, CLIP's statistics."""
    return {
        "mean": list(OPENAI_DATASET_MEAN),
        "std": list(OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }


def build_model(config: dict[str, Any]) -> CLIP:
    """Both towers with random weights, float32, image convolutions channels last."""
    model = CLIP(**config["model_cfg"])
    model.visual.to(memory_format=torch.channels_last)
    return model


def read_checkpoint(model: CLIP, folder: Path) -> None:
    """Fills `model` with the weights `write_checkpoint` wrote to `folder`."""
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))


def average_image_towers(model: CLIP, folders: list[Path]) -> None:
    """Gives `model` the mean of its image tower's weights and those of `folders`' checkpoints.

    All must be of one course of training, whose rounds lie in one valley. What each learned
    last and least surely averages out.

    Source: Wortsman et al. 2022, Model soups, section 2.
    """
    own = model.visual.state_dict()
    others = [load_file(folder / WEIGHTS_FILE) for folder in folders]
    for name, tensor in own.items():
        if tensor.is_floating_point():
            tensor.add_(sum(other[f"visual.{name}"].float() for other in others))
            tensor.div_(1 + len(others))


def encode_tokens(model: CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """Token ids (n, length ≤ context) → unnormalised embeddings (n, 384).

    What `CLIP.encode_text` computes, on the tokens the batch needs: the tower is causal, so
    that padding after the end token changes nothing.
    """
    length = int(tokens.argmax(-1).max()) + 1
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]  # (n, length, width)
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = x[torch.arange(len(x)), tokens.argmax(-1)]  # the end token has the largest id
    return model.ln_final(x) @ model.text_projection


def encode_pictures(model: CLIP, pixels: torch.Tensor) -> torch.Tensor:
    """Prepared pictures (n, 3, size, size) → unit rows (n, 384), float32."""
    with torch.autocast("cpu", torch.bfloat16):
        features = model.visual(pixels)
    return functional.normalize(features.float(), dim=-1)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """A training state, written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    torch.save(state, partial)
    os.replace(partial, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, or None when there is nothing yet. Only for our own files."""
    return torch.load(path, weights_only=True) if path.exists() else None


def write_checkpoint(model: CLIP, config: dict[str, Any], folder: Path) -> Path:
    """The checkpoint as open_clip's `local-dir:` reads it: config, and float16 weights.

    Returns:
        The path of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    weights = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    return folder / WEIGHTS_FILE
