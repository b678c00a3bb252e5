"""What a text tower needs beside its weights where it is not open_clip's own.

SigLIP has a tokenizer of its own; multilingual models have a whole text tower of the
transformers library, whose settings lie in another repository.  Knows which files these
are and where they lie on this machine; fetches and loads nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifiers.errors import ModelError
from classifiers.models.catalog import CONFIG_FILE

SETTINGS_FILE = "config.json"  # of a text tower of transformers
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.txt",
)
# One of these makes a tokenizer; the others of the list above only refine it.
_ONE_OF = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "vocab.txt")


@dataclass(frozen=True)
class TextNeeds:
    """Hub repositories that a model's text tower names; empty where it needs none."""

    tokenizer: str = ""
    settings: str = ""


def text_config(folder: Path) -> dict[str, Any]:
    """The text tower's part of open_clip's configuration.

    Raises:
        ModelError: a file that is no such configuration.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return dict(config["model_cfg"]["text_cfg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{CONFIG_FILE} is no configuration of open_clip: {error}") from error


def text_needs(folder: Path) -> TextNeeds:
    """Which other repositories the model in `folder` speaks of."""
    config = text_config(folder)
    return TextNeeds(
        str(config.get("hf_tokenizer_name") or ""), str(config.get("hf_model_name") or "")
    )


def tokenizer_folder(folder: Path, needs: TextNeeds) -> Path | None:
    """Where the tokenizer lies: with the model, else in the cache under its own name."""
    if has_tokenizer(folder):
        return folder
    for name in _ONE_OF:
        found = _cached(needs.tokenizer, name)
        if found is not None:
            return found
    return None


def settings_folder(folder: Path, needs: TextNeeds) -> Path | None:
    """Where the settings of a transformers text tower lie, or None."""
    for own in (Path(needs.settings), folder / needs.settings):
        if (own / SETTINGS_FILE).is_file() and _is_text_tower(own / SETTINGS_FILE):
            return own
    cached = _cached(needs.settings, SETTINGS_FILE)
    if cached is None and _is_text_tower(folder / SETTINGS_FILE):
        return folder
    return cached


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _ONE_OF)


def are_complete(folder: Path) -> bool:
    """Whether nothing that the text tower needs is missing on this machine."""
    needs = text_needs(folder)
    return not (
        (needs.tokenizer and tokenizer_folder(folder, needs) is None)
        or (needs.settings and settings_folder(folder, needs) is None)
    )


def _is_text_tower(path: Path) -> bool:
    """Whole CLIP models of transformers have a `config.json` too, which is not the tower's."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and "model_type" in settings and "text_config" not in settings


def _cached(repository: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # late: most models need none of this
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, name)
    except HFValidationError:  # a path, or nothing at all
        return None
    return Path(found).parent if isinstance(found, str) else None
