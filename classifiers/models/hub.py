"""Models from the Hugging Face hub → folders on this machine, with progress.

Every repository with open_clip's layout becomes a folder that `local-dir:` loads, so that
loading itself never asks the network.  The cache is huggingface_hub's own, shared with
other programs.  Only the weights go their own way into it: an unfinished file stays, so
that a later try goes on where the last one stopped, and it counts as there only once its
hash is right.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub import errors as hub_errors
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from classifiers.errors import ModelError
from classifiers.models import text_tower_files
from classifiers.models.catalog import CONFIG_FILE, WEIGHTS_FILE

SECONDS_FOR_AN_ANSWER = 5.0  # until a hub that does not answer counts as not there
SPARE_DISK_BYTES = 200_000_000

_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
_CANNOT_BE_WRITTEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

OnProgress = Callable[[int, int], None]  # called with (bytes done, bytes in all)


def cached_folder(repository: str) -> Path | None:
    """The folder of a model that is on this machine whole, or None.  Asks no network."""
    files = [try_to_load_from_cache(repository, name) for name in (CONFIG_FILE, WEIGHTS_FILE)]
    if not all(isinstance(file, str) for file in files):
        return None
    folder = Path(str(files[0])).parent
    try:
        return folder if text_tower_files.are_complete(folder) else None
    except ModelError:  # a damaged configuration: `download` will say so
        return None


def download(repository: str, on_progress: OnProgress) -> Path:
    """Fetches a model's files into the cache; returns their folder.

    Raises:
        ModelError: what went wrong, and what to do about it.
    """
    try:
        _check_reachable(repository)
        folder = Path(_fetch(repository, CONFIG_FILE)).parent
        _fetch_text_files(repository, folder)
        _fetch_weights(repository, on_progress)
        return Path(_fetch(repository, WEIGHTS_FILE)).parent  # a link in the folder by now
    except Exception as error:
        raise ModelError(_sentence(repository, error)) from error


def _check_reachable(repository: str) -> None:
    """Fails at once where there is no network; huggingface_hub would retry for a long time."""
    if constants.HF_HUB_OFFLINE:
        raise ModelError(_offline(repository))
    url = huggingface_hub.hf_hub_url(repository, CONFIG_FILE)
    try:
        huggingface_hub.get_session().head(url, timeout=SECONDS_FOR_AN_ANSWER)
    except Exception as error:  # whatever the session's library raises, it is no answer
        raise ModelError(_no_answer(repository)) from error


def _fetch(repository: str, name: str) -> str:
    return hf_hub_download(repository, name, etag_timeout=SECONDS_FOR_AN_ANSWER, tqdm_class=_Silent)


def _fetch_text_files(repository: str, folder: Path) -> None:
    """Tokenizer and settings, where the text tower is not open_clip's own."""
    needs = text_tower_files.text_needs(folder)
    if needs.tokenizer:
        for source in (repository, needs.tokenizer):
            if text_tower_files.tokenizer_folder(folder, needs) is None:
                for name in text_tower_files.TOKENIZER_FILES:
                    _fetch_if_there(source, name)
    if needs.settings and text_tower_files.settings_folder(folder, needs) is None:
        _fetch_if_there(needs.settings, text_tower_files.SETTINGS_FILE)
    if not text_tower_files.are_complete(folder):
        raise ModelError(
            f"{repository} needs the text model {needs.settings or needs.tokenizer}, "
            "which the hub does not have; choose another model."
        )


def _fetch_if_there(repository: str, name: str) -> None:
    try:
        _fetch(repository, name)
    except hub_errors.LocalEntryNotFoundError:  # no answer, which says nothing of the file
        raise
    except (hub_errors.EntryNotFoundError, hub_errors.HFValidationError):
        return
    except hub_errors.RepositoryNotFoundError:
        return  # the tokenizer's, perhaps; what is missing in the end is told by the caller


def _fetch_weights(repository: str, on_progress: OnProgress) -> None:
    """Puts the weights into the cache's blobs, from where huggingface_hub links them."""
    url = huggingface_hub.hf_hub_url(repository, WEIGHTS_FILE)
    metadata = huggingface_hub.get_hf_file_metadata(url, timeout=SECONDS_FOR_AN_ANSWER)
    if not metadata.etag or not metadata.size or "/" in metadata.etag:
        raise ModelError(f"The hub does not say how large {repository} is; try again later.")
    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / repo_folder_name(repo_id=repository, repo_type="model") / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    blob = blobs / metadata.etag
    with WeakFileLock(blobs / "headsmith.lock"):  # another process may fetch the same
        if blob.exists():
            return
        partial = blobs / f"{metadata.etag}.headsmith-part"
        for old in set(blobs.glob("*.headsmith-part")) - {partial}:
            old.unlink()  # of weights that the hub has replaced since
        partial.touch()
        n_bytes = partial.stat().st_size
        too_long = n_bytes > metadata.size  # two programs wrote, or a disk failed
        if too_long or (n_bytes == metadata.size and not _is_intact(partial, metadata.etag)):
            os.truncate(partial, 0)  # no range of the file would make it right
        done = partial.stat().st_size
        _check_disk(repository, blobs, metadata.size - done)
        with open(partial, "r+b") as file:
            file.seek(done)
            http_get(
                url, file, resume_size=done, headers=build_hf_headers(),
                expected_size=metadata.size, tqdm_class=_bar_for(on_progress),  # type: ignore[arg-type]
            )  # fmt: skip
        if not _is_intact(partial, metadata.etag):
            partial.unlink()
            raise ModelError("The download arrived damaged (its hash is wrong); try again.")
        partial.replace(blob)


def _check_disk(repository: str, folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes + SPARE_DISK_BYTES:
        raise ModelError(
            f"The disk has {free / 1e6:,.0f} MB free, and {repository} needs "
            f"{(n_bytes + SPARE_DISK_BYTES) / 1e6:,.0f} MB; make room and try again."
        )


def _is_intact(partial: Path, etag: str) -> bool:
    """Large files are known by their SHA-256; one that differs was damaged on its way."""
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return True
    digest = hashlib.sha256()
    with open(partial, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == etag


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
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            on_progress(self.n, self.total)

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            on_progress(self.n, self.total)

    return Bar


def _no_answer(repository: str) -> str:
    return f"The hub does not answer, so {repository} cannot be fetched; try again later."


def _offline(repository: str) -> str:
    return f"{repository} is not on this machine, and Headsmith was started offline."


def _sentence(repository: str, error: BaseException | None) -> str:
    """What a person can do about a download that failed."""
    if isinstance(error, ModelError):
        return str(error)
    if isinstance(error, hub_errors.GatedRepoError):
        return f"{repository} asks for an agreement first; accept it on the hub and log in."
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return f"The hub has no {repository}, or it is private; check the name or log in."
    if isinstance(error, hub_errors.OfflineModeIsEnabled):
        return _offline(repository)
    if isinstance(error, hub_errors.LocalEntryNotFoundError):
        cause = error.__cause__  # what the hub answered instead of the file
        return _sentence(repository, cause) if _status(cause) else _no_answer(repository)
    if isinstance(error, hub_errors.EntryNotFoundError):
        return (
            f"{repository} holds no {WEIGHTS_FILE} with {CONFIG_FILE}; "
            "only open_clip models in safetensors can be used."
        )
    if _status(error):
        return f"The hub refuses {repository} (HTTP {_status(error)}); try again later or log in."
    if isinstance(error, OSError) and error.errno in _DISK_IS_FULL:
        return f"The disk is full; make room for {repository} and try again."
    if isinstance(error, OSError) and error.errno in _CANNOT_BE_WRITTEN:
        return "The model cache cannot be written to; set HF_HOME to a folder that can."
    if isinstance(error, hub_errors.HFValidationError):
        return f"“{repository}” is no repository's name; write hf-hub:ORGANISATION/REPOSITORY."
    if type(error).__module__.startswith("http") or "Consistency check" in str(error):
        return f"The connection was lost while {repository} was fetched; try again to go on."
    reason = getattr(error, "strerror", None) or type(error).__name__  # without our folders
    return f"{repository} could not be fetched ({reason}); try again."


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that the hub refused with."""
    if not isinstance(error, hub_errors.HfHubHTTPError):
        return None
    return getattr(error.response, "status_code", None)
