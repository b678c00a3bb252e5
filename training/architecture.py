"""The two towers as open_clip builds them, and how they are kept on disk.

Knows nothing of data. A *state* is a training state a step resumes from; the *checkpoint*
is what the product loads through `local-dir:`.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file, save_file
from torch.nn import functional

import classifiers.encoder.builtin_tower  # noqa: F401, registers the image tower with timm

EMBED_DIM = 384
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "builtin"


def read_config(folder: Path = DEFAULT_FOLDER) -> dict[str, Any]:
    """`open_clip_config.json` of a checkpoint's folder."""
    return json.loads((folder / CONFIG_FILE).read_text())


def build_model(config: dict[str, Any]) -> CLIP:
    """Both towers with random weights, float32, image convolutions channels last."""
    model = CLIP(**config["model_cfg"])
    model.visual.to(memory_format=torch.channels_last)
    return model


def read_checkpoint(model: CLIP, folder: Path) -> None:
    """Fills `model` with the weights `write_checkpoint` wrote to `folder`."""
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))


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


@torch.inference_mode()
def encode_all(model: CLIP, texts: list[str], batch_size: int = 512) -> np.ndarray:
    """Texts → float32 (n, embed_dim), unit rows; sorted by length inside, to pad little."""
    tokenizer = SimpleTokenizer(context_length=model.context_length)
    tokens = torch.cat([tokenizer(texts[i : i + 4096]) for i in range(0, len(texts), 4096)])
    order = tokens.argmax(-1).argsort()
    rows = torch.empty(len(texts), model.text_projection.shape[1])
    for chosen in order.split(batch_size):
        rows[chosen] = functional.normalize(encode_tokens(model, tokens[chosen]), dim=-1)
    return rows.numpy()


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
