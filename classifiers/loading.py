"""Models in memory: each loaded once, in the background, for everybody who asks.

Importing this module does not import torch, so a page can be served before it is there.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from classifiers.models import BUILTIN
from classifiers.store import HeadStore

if TYPE_CHECKING:
    from classifiers.library import HeadLibrary


class LoadedModels:
    """The models this process holds, by name, each with its head library.

    Attributes:
        default: name of the model that answers who asked for none.
    """

    def __init__(
        self, heads_dir: Path, default: str = BUILTIN, prepare_label_lists: bool = True
    ) -> None:
        self.default = default
        self._prepare_label_lists = prepare_label_lists
        self._store = HeadStore(heads_dir)
        self._futures: dict[str, Future[HeadLibrary]] = {}
        self._lock = threading.Lock()

    def preload(self, name: str | None = None) -> Future[HeadLibrary]:
        """Begins to load the model and returns at once; a failed load may be tried again."""
        name = name or self.default
        with self._lock:
            future = self._futures.get(name)
            if future is None or (future.done() and future.exception() is not None):
                future = self._futures[name] = Future()
                threading.Thread(
                    target=self._load, args=(name, future), name=f"load {name}", daemon=True
                ).start()
        return future

    def library(self, name: str | None = None) -> HeadLibrary:
        """The heads of the model `name`; waits until it is loaded.

        Raises:
            ModelError: as `load_encoder`.
        """
        return self.preload(name).result()

    def is_loaded(self, name: str | None = None) -> bool:
        future = self._futures.get(name or self.default)
        return future is not None and future.done() and future.exception() is None

    def _load(self, name: str, future: Future[HeadLibrary]) -> None:
        try:
            from classifiers.encoder import load_encoder
            from classifiers.library import HeadLibrary

            library = HeadLibrary(load_encoder(name), self._store)
        except BaseException as error:  # handed to whoever waits
            future.set_exception(error)
            return
        future.set_result(library)
        if self._prepare_label_lists:
            library.build_label_lists()
