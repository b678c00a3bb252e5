"""Which CLIP models there are and where their weights are.  Knows nothing of torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from classifiers.errors import ModelError

BUILTIN = "builtin"
BUILTIN_DIR = Path(__file__).resolve().parent.parent / "assets" / "builtin"

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
CARD_FILE = "headsmith.json"


@dataclass(frozen=True)
class ModelCard:
    """What a person should know of a model before believing it."""

    title: str
    summary: str = ""
    none_of_these_similarity: float | None = None  # cosine; a best answer below is no answer


@dataclass(frozen=True)
class ModelSource:
    """A model as open_clip is asked for it."""

    name: str  # as Headsmith and its users call it
    open_clip_name: str
    pretrained: str | None = None  # open_clip's tag, where the name has one
    directory: Path | None = None  # of a local model


def find_model(name: str) -> ModelSource:
    """Where the model `name` comes from; loads nothing and asks no network.

    Args:
        name: `builtin`, `<architecture>/<tag>` as open_clip lists them (for instance
            `ViT-B-32/openai`), `hf-hub:<org>/<repo>`, or `local-dir:<path>`.

    Raises:
        ModelError: the name has no such form, or the folder holds no model.
    """
    if name == BUILTIN:
        return _local_model(name, BUILTIN_DIR)
    if name.startswith("local-dir:"):
        return _local_model(name, Path(name.removeprefix("local-dir:")))
    if name.startswith("hf-hub:"):
        return ModelSource(name, name)
    architecture, slash, tag = name.partition("/")
    if not (architecture and slash and tag):
        raise ModelError(
            f"“{name}” is no model name; write builtin, ARCHITECTURE/TAG such as "
            "ViT-B-32/openai, hf-hub:ORG/REPO or local-dir:PATH."
        )
    return ModelSource(name, architecture, pretrained=tag)


def _local_model(name: str, directory: Path) -> ModelSource:
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / file).is_file():
            raise ModelError(
                f"The folder of the model “{name}” has no {file}; "
                "save the model with open_clip's layout there."
            )
    return ModelSource(name, f"local-dir:{directory}", directory=directory)


def read_model_card(source: ModelSource) -> ModelCard:
    """The card that lies beside a local model's weights, or a bare one with its name."""
    if source.directory is None or not (source.directory / CARD_FILE).is_file():
        return ModelCard(title=source.name)
    try:
        card = json.loads((source.directory / CARD_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"The {CARD_FILE} of the model “{source.name}” is no JSON ({error}); mend or remove it."
        ) from error
    return ModelCard(
        title=card.get("name", source.name),
        summary=card.get("summary", ""),
        none_of_these_similarity=card.get("none_of_these_similarity"),
    )
