"""Files of a CLIP model → Encoder.  Asks no network and runs no code of a model's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import open_clip
import safetensors
import torch

from classifiers.encoder import builtin_tower  # noqa: F401, registers an architecture with timm
from classifiers.encoder.encoder import Encoder
from classifiers.errors import ModelError
from classifiers.models import text_tower_files
from classifiers.models.calibration import CALIBRATION_FILE, ModelCalibration
from classifiers.models.catalog import WEIGHTS_FILE, ModelSource, find_model

# What open_clip, timm and safetensors raise on files that are damaged or do not fit.
_UNLOADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    safetensors.SafetensorError,
)


def load_encoder(name: str) -> Encoder:
    """Loads the model `name` (see `catalog.find_model`) for use on the CPU.

    A model of the hub must be on this machine already; `loaded_models.LoadedModels` fetches.

    Raises:
        ModelError: unknown name, not on this machine, or weights that are damaged.
    """
    source = find_model(name)
    folder = source.directory
    if folder is None and source.repository is not None:
        from classifiers.models.hub import cached_folder  # late: local models need no hub

        folder = cached_folder(source.repository)
    if folder is None:
        raise ModelError(f"The model “{name}” is not on this machine; fetch it first.")
    # The caller's thread is spared a set of torch's helpers (see `executor`).
    with ThreadPoolExecutor(1) as loading:
        return loading.submit(load_encoder_from, source, folder).result()


def load_encoder_from(source: ModelSource, folder: Path) -> Encoder:
    """Loads the model `source` whose files lie in `folder`, in open_clip's layout.

    Raises:
        ModelError: files that are missing or damaged, or a library that they need.
    """
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            f"local-dir:{folder}",
            force_quick_gelu=_wants_quick_gelu(source),
            **_text_tower_settings(folder),
        )
        tokenizer = _load_tokenizer(folder)
    except _UNLOADABLE as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")  # mismatches fill pages
        raise ModelError(f"The model “{source.name}” cannot be loaded: {reason}.") from error
    except ImportError as error:
        raise ModelError(f"The model “{source.name}” needs a library: {error}") from error
    measured = folder / CALIBRATION_FILE
    has_calibration = measured.is_file()
    fingerprint = _digest(folder / WEIGHTS_FILE, *([measured] if has_calibration else []))[:16]
    encoder = Encoder(
        source,
        fingerprint,
        model.eval().float(),
        preprocess,
        tokenizer,
        _load_calibration(source, measured) if has_calibration else None,
    )
    calibration = encoder.calibration
    if calibration is not None and calibration.embeddings.shape[1] != encoder.embed_dim:
        raise ModelError(f"{CALIBRATION_FILE} of “{source.name}” was measured of another model.")
    return encoder


def _load_calibration(source: ModelSource, path: Path) -> ModelCalibration:
    try:
        return ModelCalibration.load(path)
    except (ValueError, OSError) as error:
        raise ModelError(f"The model “{source.name}” cannot be loaded: {error}.") from error


def _wants_quick_gelu(source: ModelSource) -> bool:
    """OpenAI's weights and some others; open_clip only warns when asked for them without."""
    architecture, _, tag = source.name.partition("/")
    settings = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    return bool(settings.get("quick_gelu"))


def _text_tower_settings(folder: Path) -> dict[str, Any]:
    """Lets a text tower of transformers find its settings here instead of at the hub."""
    needs = text_tower_files.text_needs(folder)
    if not needs.settings:
        return {}
    where = text_tower_files.settings_folder(folder, needs)
    if where is None:
        raise ModelError(
            f"The model needs the settings of {needs.settings}; "
            f"put that model's {text_tower_files.SETTINGS_FILE} into its folder."
        )
    config = text_tower_files.text_config(folder)
    # The weights come with the model, so none are looked for beside the settings.
    return {"text_cfg": {**config, "hf_model_name": str(where), "hf_model_pretrained": False}}


def _load_tokenizer(folder: Path) -> Callable[..., torch.Tensor]:
    needs = text_tower_files.text_needs(folder)
    if not needs.tokenizer:
        return open_clip.get_tokenizer(f"local-dir:{folder}")
    where = text_tower_files.tokenizer_folder(folder, needs)
    if where is None:
        raise ModelError(
            f"The model needs the tokenizer of {needs.tokenizer}; put its files into its folder."
        )
    config = text_tower_files.text_config(folder)
    return open_clip.tokenizer.HFTokenizer(
        str(where),
        context_length=config.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=config.get("tokenizer_mode"),
        # A repository may ask for its own code to be run, which is never done here.
        **{
            **config.get("tokenizer_kwargs", {}),
            "trust_remote_code": False,
            "local_files_only": True,
        },
    )


def _digest(*paths: Path) -> str:
    """SHA-256 in hex of files: tells two versions of a model under one name apart."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
