"""Models from the Hugging Face hub → folders on this machine, with progress.

Every repository with open_clip's layout becomes a folder that `local-dir:` loads, so that
loading itself never asks the network.  The cache is huggingface_hub's own, shared with
other programs; so are its retries, which resume a cut connection where it was cut.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub_errors
from huggingface_hub import hf_hub_download, try_to_load_from_cache

from classifiers.errors import ModelError
from classifiers.models import CONFIG_FILE, WEIGHTS_FILE

SECONDS_FOR_AN_ANSWER = 5.0  # until a hub that does not answer counts as not there
SPARE_DISK_BYTES = 200_000_000

# Of models whose text tower is not open_clip's own; absent elsewhere.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "config.json",
)

OnProgress = Callable[[int, int], None]  # called with (bytes done, bytes in all)


def cached_folder(repository: str) -> Path | None:
    """The folder of a model that is on this machine whole, or None.  Asks no network."""
    files = [try_to_load_from_cache(repository, name) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    if not all(isinstance(file, str) for file in files):
        return None
    return Path(str(files[0])).parent


def download(repository: str, on_progress: OnProgress) -> Path:
    """Fetches a model's files into the cache; returns their folder.

    Raises:
        ModelError: what went wrong, and what to do about it.
    """
    try:
        _check_reachable(repository)
        config = Path(_fetch(repository, CONFIG_FILE))
        text = config.read_text(encoding="utf-8")
        if '"hf_tokenizer_name"' in text or '"hf_model_name"' in text:
            for name in _TOKENIZER_FILES:
                _fetch_if_there(repository, name)
        n_bytes = _size(repository)
        _check_disk(repository, n_bytes)
        weights = Path(_fetch(repository, WEIGHTS_FILE, _bar_for(on_progress)))
        _check_hash(weights)
    except Exception as error:
        raise ModelError(_sentence(repository, error)) from error
    return weights.parent


def _check_reachable(repository: str) -> None:
    """Fails at once where there is no network; huggingface_hub would retry for a long time."""
    url = huggingface_hub.hf_hub_url(repository, CONFIG_FILE)
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=SECONDS_FOR_AN_ANSWER).close()
    except urllib.error.HTTPError:
        return  # an answer, if not a kind one; the download itself will say what is wrong
    except OSError as error:
        raise ModelError(_no_answer(repository)) from error


def _fetch(repository: str, name: str, bar: Any = None) -> str:
    return hf_hub_download(
        repository, name, etag_timeout=SECONDS_FOR_AN_ANSWER, tqdm_class=bar or _Silent
    )


def _fetch_if_there(repository: str, name: str) -> None:
    try:
        _fetch(repository, name)
    except hub_errors.EntryNotFoundError:
        return


def _size(repository: str) -> int:
    url = huggingface_hub.hf_hub_url(repository, WEIGHTS_FILE)
    metadata = huggingface_hub.get_hf_file_metadata(url, timeout=SECONDS_FOR_AN_ANSWER)
    return metadata.size or 0


def _check_disk(repository: str, n_bytes: int) -> None:
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < n_bytes + SPARE_DISK_BYTES:
        raise ModelError(
            f"The disk has {free / 1e6:,.0f} MB free, and {repository} needs "
            f"{n_bytes / 1e6:,.0f} MB; make room and try again."
        )


def _check_hash(weights: Path) -> None:
    """Large files are kept under their SHA-256; one that differs was damaged on its way."""
    blob = weights.resolve()
    if not re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return
    digest = hashlib.sha256()
    with open(blob, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != blob.name:
        weights.unlink()
        blob.unlink()
        raise ModelError("The download arrived damaged (its hash is wrong); try again.")


class _Silent:
    """The part of tqdm that huggingface_hub uses, showing nothing."""

    def __init__(self, *_args: Any, total: int | None = None, initial: int = 0, **_: Any) -> None:
        self.total = total or 0
        self.n = initial

    def update(self, n: float | None = 1) -> None:
        self.n += int(n or 0)

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None: ...

    def refresh(self) -> None: ...

    def set_description(self, *_args: Any, **_kwargs: Any) -> None: ...

    def set_postfix_str(self, *_args: Any, **_kwargs: Any) -> None: ...


def _bar_for(on_progress: OnProgress) -> type[_Silent]:
    class Bar(_Silent):
        def update(self, n: float | None = 1) -> None:
            super().update(n)
            on_progress(self.n, self.total)

    return Bar


def _no_answer(repository: str) -> str:
    return f"The hub does not answer, so {repository} cannot be fetched; try again later."


def _sentence(repository: str, error: Exception) -> str:
    """What a person can do about a download that failed."""
    if isinstance(error, ModelError):
        return str(error)
    if isinstance(error, hub_errors.GatedRepoError):
        return f"{repository} asks for an agreement first; accept it on the hub and log in."
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return f"The hub has no {repository}, or it is private; check the name or log in."
    if isinstance(error, hub_errors.EntryNotFoundError) and not isinstance(
        error, hub_errors.LocalEntryNotFoundError
    ):
        return (
            f"{repository} holds no {WEIGHTS_FILE} with {CONFIG_FILE}; "
            "only open_clip models in safetensors can be used."
        )
    if isinstance(error, hub_errors.OfflineModeIsEnabled):
        return f"{repository} is not on this machine, and Headsmith was started offline."
    if isinstance(error, hub_errors.LocalEntryNotFoundError):
        return _no_answer(repository)
    if isinstance(error, PermissionError):
        return "The model cache cannot be written to; set HF_HOME to a folder that can."
    return f"{repository} could not be fetched ({type(error).__name__}: {error}); try again."
