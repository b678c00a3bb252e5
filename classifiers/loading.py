"""Models in memory: each fetched and loaded once, in the background, for all who ask.

Importing this module does not import torch, so a page can be served before it is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from classifiers.errors import HeadsmithError, ModelError
from classifiers.models import (
    BUILTIN,
    PREFERRED,
    WEIGHTS_FILE,
    ModelCard,
    ModelSource,
    curated_models,
    find_model,
)
from classifiers.store import HeadStore

if TYPE_CHECKING:
    from classifiers.library import HeadLibrary

_log = logging.getLogger(__name__)

# While weights are read, the file's tensors and the model's are in memory together.
BYTES_NEEDED_PER_WEIGHT_BYTE = 2.5


@dataclass(frozen=True)
class ModelStatus:
    """Where a model is on its way into memory.

    Attributes:
        state: `absent`, `local` (on disk), `downloading`, `loading`, `ready` or `failed`.
        done_bytes, total_bytes: of a download.
        seconds_left: of a download, None while it cannot be told.
        error: the sentence of a failure.
    """

    state: str
    done_bytes: int = 0
    total_bytes: int = 0
    seconds_left: float | None = None
    error: str = ""


class LoadedModels:
    """The models this process holds, by name, each with its head library.

    Attributes:
        default: name of the model that answers who asked for none.
        offline: nothing is fetched.
        any_model: visitors may name models beside the curated ones and the default.
    """

    def __init__(
        self,
        heads_dir: Path,
        default: str = BUILTIN,
        *,
        offline: bool = False,
        any_model: bool = True,
        max_models: int = 2,
        prepare_label_lists: bool = True,
    ) -> None:
        self.default = default
        self.offline = offline
        self.any_model = any_model
        self._max_models = max_models
        self._prepare_label_lists = prepare_label_lists
        self._store = HeadStore(heads_dir)
        self._futures: OrderedDict[str, Future[HeadLibrary]] = OrderedDict()
        self._statuses: dict[str, ModelStatus] = {}
        self._lock = threading.Lock()

    def preload(self, name: str | None = None) -> Future[HeadLibrary]:
        """Begins to fetch and load the model, and returns at once.

        Asked again while that goes on, returns the same future; after a failure, tries
        again.

        Raises:
            ModelError: a name that visitors may not choose here.
        """
        name = name or self.default
        self._check_allowed(name)
        with self._lock:
            future = self._futures.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._futures[name] = Future()
                self._statuses[name] = ModelStatus("loading")
                threading.Thread(
                    target=self._load, args=(name, future), name=f"load {name}", daemon=True
                ).start()
            self._futures.move_to_end(name)
        return future

    def library(self, name: str | None = None) -> HeadLibrary:
        """The heads of the model `name`; waits until it is fetched and loaded.

        Raises:
            ModelError: as `find_model`, `hub.download` and `load_encoder`.
        """
        return self.preload(name).result()

    def is_loaded(self, name: str | None = None) -> bool:
        """Whether `library` answers without waiting."""
        future = self._futures.get(name or self.default)
        return future is not None and future.done() and future.exception() is None

    def card(self, name: str | None = None) -> ModelCard:
        """What there is to know of a model; bare where its name is wrong."""
        name = name or self.default
        try:
            return find_model(name).card
        except ModelError:
            return ModelCard(name, title=name)

    def status(self, name: str) -> ModelStatus:
        """Where the model is now.  Asks no network."""
        if name in self._statuses:
            return self._statuses[name]
        try:
            source = find_model(name)
        except ModelError as error:
            return ModelStatus("failed", error=str(error))
        return ModelStatus("absent" if _folder_of(source) is None else "local")

    def _check_allowed(self, name: str) -> None:
        allowed = [self.default, *(card.name for card in curated_models())]
        if not self.any_model and name not in allowed:
            raise ModelError(f"“{name[:80]}” cannot be chosen here; choose a model of the menu.")

    def _load(self, name: str, future: Future[HeadLibrary]) -> None:
        try:
            library = self._load_library(name)
        except BaseException as error:  # handed to whoever waits
            sentence = str(error) if isinstance(error, HeadsmithError) else repr(error)
            if not isinstance(error, HeadsmithError):
                _log.exception("Loading %s failed", name)
            self._statuses[name] = ModelStatus("failed", error=sentence)
            future.set_exception(error)
            return
        self._statuses[name] = ModelStatus("ready")
        future.set_result(library)
        self._drop_least_recently_used()
        if self._prepare_label_lists:
            library.build_label_lists()

    def _load_library(self, name: str) -> HeadLibrary:
        source = find_model(name)
        folder = _folder_of(source)
        if folder is None and source.repository is not None:
            if self.offline:
                raise ModelError(
                    f"{name} is not on this machine, and Headsmith was started offline."
                )
            from classifiers import hub

            folder = hub.download(source.repository, self._report_download(name))
            self._statuses[name] = ModelStatus("loading")
        assert folder is not None  # local models have one from the start
        check_memory(name, (folder / WEIGHTS_FILE).stat().st_size)

        from classifiers.encoder import load_encoder_from
        from classifiers.library import HeadLibrary

        return HeadLibrary(load_encoder_from(source, folder), self._store)

    def _report_download(self, name: str) -> Callable[[int, int], None]:
        begun = time.monotonic()
        first: list[int] = []  # bytes that were there before, when a download resumes

        def report(done: int, total: int) -> None:
            first.append(done) if not first else None
            rate = (done - first[0]) / max(time.monotonic() - begun, 1e-3)  # bytes a second
            left = (total - done) / rate if rate > 0 and total else None
            self._statuses[name] = ModelStatus("downloading", done, total, left)

        return report

    def _drop_least_recently_used(self) -> None:
        """Forgets models beyond `max_models`; one that still works stays until it is done."""
        with self._lock:
            ready = [name for name in self._futures if self.is_loaded(name)]
            for name in ready[: max(0, len(ready) - self._max_models)]:
                del self._futures[name]
                del self._statuses[name]


def choose_default(wanted: str) -> str:
    """The model to begin with: `wanted`, or for `auto` the preferred one if it is here."""
    if wanted != "auto":
        return wanted
    return PREFERRED if _folder_of(find_model(PREFERRED)) is not None else BUILTIN


def check_memory(name: str, weight_bytes: int) -> None:
    """Refuses a model that does not fit.

    Raises:
        ModelError: with the figures.
    """
    needed = weight_bytes * BYTES_NEEDED_PER_WEIGHT_BYTE
    available = psutil.virtual_memory().available
    if needed > available:
        raise ModelError(
            f"{name} needs about {needed / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB "
            "are free; close something or choose a smaller model."
        )


def _folder_of(source: ModelSource) -> Path | None:
    if source.directory is not None:
        return source.directory
    assert source.repository is not None  # a source has one of the two
    from classifiers import hub  # late: asks of local models need no huggingface_hub

    return hub.cached_folder(source.repository)
