"""Which CLIP models there are and where their weights are.  Knows nothing of torch."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from classifiers.errors import ModelError

ASSETS_DIR = Path(__file__).resolve().parents[2] / "assets"
BUILTIN = "builtin"
BUILTIN_DIR = ASSETS_DIR / "builtin"
PREFERRED = "ViT-B-32/openai"  # fetched in the background where only the built-in one is here

MAX_NAME_CHARACTERS = 500

# ORGANISATION/REPOSITORY; neither may begin like a path that leads elsewhere.
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
CARD_FILE = "headsmith.json"


@dataclass(frozen=True)
class ModelCard:
    """What a person should know of a model before believing it.

    Figures are None, texts empty, where nobody published them.
    """

    name: str
    title: str
    summary: str = ""
    parameters: int | None = None
    embed_dim: int | None = None
    imagenet_zero_shot: float | None = None  # top-1, per cent
    download_mb: int | None = None
    licence: str = ""
    languages: str = ""  # "English", "many", or empty where unknown


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: a folder on this machine, or a repository of the hub."""

    name: str  # as Headsmith and its users call it
    directory: Path | None = None
    repository: str | None = None
    card: ModelCard = field(default=ModelCard("", ""), compare=False)


def find_model(name: str) -> ModelSource:
    """Where the model `name` comes from; loads nothing and asks no network.

    Args:
        name: `builtin`, `<architecture>/<tag>` as open_clip lists them (for instance
            `ViT-B-32/openai`), `hf-hub:<org>/<repo>`, or `local-dir:<path>`.

    Raises:
        ModelError: the name has no such form, the folder holds no model, or open_clip
            knows no repository with safe weights for it.
    """
    name = check_model_name(name)
    if name == BUILTIN:
        return _local_model(name, BUILTIN_DIR)
    if name.startswith("local-dir:"):
        return _local_model(name, Path(name.removeprefix("local-dir:")))
    if name.startswith("hf-hub:"):
        repository = name.removeprefix("hf-hub:")
        if not _REPOSITORY.fullmatch(repository):
            raise ModelError(f"“{name}” is no model name; write hf-hub:ORGANISATION/REPOSITORY.")
        return ModelSource(name, repository=repository, card=ModelCard(name, repository))
    entry = _table().get(name)
    if entry is not None:
        return ModelSource(name, repository=entry["hub"], card=_card_of(entry))
    return ModelSource(name, repository=_repository_of(name), card=ModelCard(name, name))


def check_model_name(name: str) -> str:
    """`name` without white space around it.  Says nothing of whether there is such a model.

    Raises:
        ModelError: no model can be called so, and nothing should remember the name.
    """
    name = name.strip() if isinstance(name, str) else ""  # menus are in visitors' hands
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise ModelError(f"{name[:80]!r} is no model name; choose a model of the menu.")
    return name


def curated_models() -> list[ModelCard]:
    """The built-in model and those worth knowing of, in the order of the menu."""
    return [_local_card(BUILTIN, BUILTIN_DIR), *map(_card_of, _table().values())]


def _repository_of(name: str) -> str:
    """The hub's repository for `<architecture>/<tag>`."""
    architecture, slash, tag = name.partition("/")
    if not (architecture and slash and tag):
        raise ModelError(
            f"“{name}” is no model name; write builtin, ARCHITECTURE/TAG such as "
            "ViT-B-32/openai, hf-hub:ORG/REPO or local-dir:PATH."
        )
    import open_clip  # late: imports torch, and every other kind of name does without

    settings = open_clip.get_pretrained_cfg(architecture, tag)
    if not settings:
        raise ModelError(
            f"open_clip knows no model “{name}”; its list of pretrained models has the names."
        )
    repository = settings.get("hf_hub", "").rstrip("/")
    if repository.count("/") != 1:
        raise ModelError(
            f"The weights of “{name}” are published in no safe format; choose another model."
        )
    return repository


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    with open(ASSETS_DIR / "models.toml", "rb") as file:
        return {entry["name"]: entry for entry in tomllib.load(file)["model"]}


def _card_of(entry: dict[str, Any]) -> ModelCard:
    return ModelCard(
        name=entry["name"],
        title=entry["title"],
        summary=f"{entry['title']}: {entry['good_for']}.",
        parameters=entry["parameters"],
        embed_dim=entry["embed_dim"],
        imagenet_zero_shot=entry.get("imagenet_zero_shot"),
        download_mb=entry["download_mb"],
        licence=entry["licence"],
        languages=entry["languages"],
    )


def _local_model(name: str, directory: Path) -> ModelSource:
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not _is_file(directory / file):
            raise ModelError(
                f"The folder of the model “{name}” has no {file}; "
                "save the model with open_clip's layout there."
            )
    return ModelSource(name, directory=directory, card=_local_card(name, directory))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that is closed to us
        return False


def _local_card(name: str, directory: Path) -> ModelCard:
    if not (directory / CARD_FILE).is_file():
        return ModelCard(name, title=name)
    try:
        entry = json.loads((directory / CARD_FILE).read_text(encoding="utf-8"))
        config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        return ModelCard(
            name=name,
            title=str(entry["name"]),
            summary=str(entry.get("summary", "")),
            parameters=entry.get("parameters"),
            embed_dim=config["model_cfg"]["embed_dim"],
            licence=str(entry.get("licence", "")),
            languages=str(entry.get("languages", "")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The card {CARD_FILE} of the model “{name}” cannot be read: {error}"
        ) from error
