"""Models in memory: each fetched and loaded once, in the background, for all who ask.

Importing this module does not import torch, so a page can be served before it is there.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from classifiers.errors import HeadsmithError, ModelError
from classifiers.heads.store import HeadStore
from classifiers.images import OpenPicture, open_picture
from classifiers.models.catalog import (
    BUILTIN,
    PREFERRED,
    WEIGHTS_FILE,
    ModelCard,
    ModelSource,
    check_model_name,
    curated_models,
    find_model,
)
from classifiers.models.memory import check_memory
from classifiers.process_tuning import give_back_freed_memory
from classifiers.words.prompts import MAX_PROMPTS

if TYPE_CHECKING:
    from classifiers.heads.library import HeadLibrary

_log = logging.getLogger(__name__)

MAX_FAILURES = 64  # of which the sentence is remembered; visitors can make up names for ever


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
        open_picture: how pictures of strangers are opened, as `images.open_picture` has it.
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
        open_picture: OpenPicture = open_picture,
        max_prompts: int = MAX_PROMPTS,
    ) -> None:
        self.default = default
        self.offline = offline
        self.any_model = any_model
        self.open_picture = open_picture
        self._max_prompts = max_prompts
        self._max_models = max_models
        self._prepare_label_lists = prepare_label_lists
        self._store = HeadStore(heads_dir)
        self._futures: OrderedDict[str, Future[HeadLibrary]] = OrderedDict()
        self._statuses: dict[str, ModelStatus] = {}
        self._weight_bytes: WeakKeyDictionary[HeadLibrary, int] = WeakKeyDictionary()
        # Dropped from above while somebody still worked with them.
        self._still_working: WeakValueDictionary[str, HeadLibrary] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._loading_lock = threading.Lock()  # one model at a time is read into memory

    def preload(self, name: str | None = None) -> Future[HeadLibrary]:
        """Begins to fetch and load the model, and returns at once.

        Asked again while that goes on, returns the same future; after a failure, tries
        again.

        Raises:
            ModelError: a name that visitors may not choose here.
        """
        name = self._checked(name)
        with self._lock:
            future = self._futures.get(name)
            if future is None or _has_failed(future):
                future = self._begin(name)
            self._futures.move_to_end(name)
            self._forget_old_failures()
        return future

    def library(self, name: str | None = None) -> HeadLibrary:
        """The heads of the model `name`; waits while it is fetched or loaded.

        Fetches nothing by itself but the default model, once: a download is asked for
        with `preload`, never by a request that only wants an answer.

        Raises:
            ModelError: as `find_model`, `hub.download` and `load_encoder`; or it is not here.
        """
        name = self._checked(name)
        future = self._futures.get(name)
        if future is None or _has_failed(future):
            never_tried = name == self.default and name not in self._statuses
            on_disk = never_tried or self._is_on_disk(name)  # outside the lock: may be slow
            with self._lock:
                future = self._futures.get(name)
                if on_disk and (future is None or _has_failed(future)):
                    future = self._begin(name)
            if future is None:
                find_model(name)  # says so where the name itself is wrong
                raise ModelError(f"{name} is not on this machine yet; fetch it first.")
        with self._lock:
            if self._futures.get(name) is future:
                self._futures.move_to_end(name)
        return future.result()

    def _begin(self, name: str) -> Future[HeadLibrary]:
        """Starts the thread that loads; `self._lock` is held."""
        future = self._futures[name] = Future()
        working = self._still_working.get(name)
        if working is not None:
            self._statuses[name] = ModelStatus("ready")
            future.set_result(working)
            return future
        self._statuses[name] = ModelStatus("loading")
        threading.Thread(
            target=self._load, args=(name, future), name=f"load {name}", daemon=True
        ).start()
        return future

    def is_loaded(self, name: str | None = None) -> bool:
        """Whether `library` answers without waiting."""
        future = self._futures.get(name or self.default)
        return future is not None and future.done() and not _has_failed(future)

    def card(self, name: str | None = None) -> ModelCard:
        """What there is to know of a model; bare where its name is wrong."""
        name = name or self.default
        try:
            return find_model(name).card
        except ModelError:
            return ModelCard(name, title=name)

    def status(self, name: str) -> ModelStatus:
        """Where the model is now.  Asks no network."""
        status = self._statuses.get(name)
        if status is not None:
            return status
        try:
            source = find_model(name)
        except ModelError as error:
            return ModelStatus("failed", error=str(error))
        return ModelStatus("absent" if _folder_of(source) is None else "local")

    def may_choose(self, name: str) -> bool:
        """Whether visitors may name this model here."""
        allowed = [self.default, *(card.name for card in curated_models())]
        return self.any_model or name in allowed

    def _checked(self, name: str | None) -> str:
        name = check_model_name(name or "") or self.default
        if not self.may_choose(name):
            raise ModelError(f"“{name[:80]}” cannot be chosen here; choose a model of the menu.")
        return name

    def _is_on_disk(self, name: str) -> bool:
        try:
            return _folder_of(find_model(name)) is not None
        except ModelError:
            return False

    def _load(self, name: str, future: Future[HeadLibrary]) -> None:
        try:
            source = find_model(name)
            folder = _folder_of(source) or self._fetch(source)
            self._statuses[name] = ModelStatus("loading")
            with self._loading_lock:
                library = self._read(source, folder)
                self._statuses[name] = ModelStatus("ready")
                future.set_result(library)
        except BaseException as error:  # handed to whoever waits
            sentence = str(error)
            if not isinstance(error, HeadsmithError):
                _log.exception("Loading %s failed", name)
                sentence = f"{name} could not be loaded ({type(error).__name__}); try again."
            self._statuses[name] = ModelStatus("failed", error=sentence)
            future.set_exception(error)
            with self._lock:
                self._forget_old_failures()
            return
        if self._prepare_label_lists:
            library.build_label_lists()

    def _fetch(self, source: ModelSource) -> Path:
        assert source.repository is not None  # local models have a folder from the start
        if self.offline:
            raise ModelError(
                f"{source.name} is not on this machine, and Headsmith was started offline."
            )
        from classifiers.models import hub

        self._statuses[source.name] = ModelStatus("downloading")
        return hub.download(source.repository, self._report_download(source.name))

    def _read(self, source: ModelSource, folder: Path) -> HeadLibrary:
        """Makes room in memory and loads; `self._loading_lock` is held."""
        from classifiers.encoder.load import load_encoder_from
        from classifiers.heads.library import HeadLibrary

        weight_bytes = (folder / WEIGHTS_FILE).stat().st_size
        surplus = self._surplus()
        freed_bytes = sum(self._weight_bytes[self._futures[name].result()] for name in surplus)
        check_memory(source.name, weight_bytes, freed_bytes)
        self._drop(surplus)
        library = HeadLibrary(load_encoder_from(source, folder), self._store, self._max_prompts)
        self._weight_bytes[library] = weight_bytes
        return library

    def _report_download(self, name: str) -> Callable[[int, int], None]:
        begun = time.monotonic()
        first: list[int] = []  # bytes that were there before, when a download resumes

        def report(done: int, total: int) -> None:
            first.append(done) if not first else None
            rate = (done - first[0]) / max(time.monotonic() - begun, 1e-3)  # bytes a second
            left = (total - done) / rate if rate > 0 and total else None
            self._statuses[name] = ModelStatus("downloading", done, total, left)

        return report

    def _forget_old_failures(self) -> None:
        """Lets go of all but the last; `self._lock` is held.

        The default's stays: only a person who asks for it may begin it again.
        """
        failed = [
            name
            for name, future in self._futures.items()
            if name != self.default and _has_failed(future)
        ]
        for name in failed[:-MAX_FAILURES]:
            del self._futures[name]
            self._statuses.pop(name, None)

    def _surplus(self) -> list[str]:
        """Models that must go before one more comes, the least recently used first."""
        with self._lock:
            ready = [name for name in self._futures if self.is_loaded(name)]
        return ready[: max(0, len(ready) + 1 - self._max_models)]

    def _drop(self, names: list[str]) -> None:
        """Forgets models; whoever still works with one keeps it until that is done."""
        with self._lock:
            for name in names:
                self._still_working[name] = self._futures.pop(name).result()
                del self._statuses[name]
        gc.collect()
        give_back_freed_memory()  # it is wanted now


def _has_failed(future: Future[HeadLibrary]) -> bool:
    return future.done() and future.exception() is not None


def choose_default(wanted: str) -> str:
    """The model to begin with: `wanted`, or for `auto` the preferred one if it is here."""
    if wanted != "auto":
        return wanted
    return PREFERRED if _folder_of(find_model(PREFERRED)) is not None else BUILTIN


def _folder_of(source: ModelSource) -> Path | None:
    if source.directory is not None:
        return source.directory
    assert source.repository is not None  # a source has one of the two
    from classifiers.models import hub  # late: asks of local models need no huggingface_hub

    return hub.cached_folder(source.repository)
