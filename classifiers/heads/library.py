"""The classifiers one model has to offer: the shipped label sets, and stored heads by id.

Between the head builders and whoever asks for a classifier by name (page, API, phone).
Builds what is missing, once however many ask, and remembers it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from weakref import WeakValueDictionary

from cachetools import LRUCache

from classifiers.encoder.encoder import Encoder, Progress
from classifiers.encoder.prompt_cache import PromptCache
from classifiers.errors import HeadError
from classifiers.heads.head import Head
from classifiers.heads.store import HeadStore
from classifiers.heads.zero_shot import build_zero_shot_head, check_words, zero_shot_head_id
from classifiers.waiting_line import SECONDS_BETWEEN_CHECKS, WaitingLine
from classifiers.words.label_lists import label_list_ids, load_label_list
from classifiers.words.prompts import MAX_PROMPTS, check_prompt_count, clean_text

_log = logging.getLogger(__name__)

MAX_HEAD_BYTES_IN_MEMORY = 256_000_000  # 40 of 4,000 classes; one file holds at most 50 MB
MAX_PROMISED_CHARACTERS = 20_000_000  # of classifiers that nobody has asked for yet

# For all models together: they compute in one thread.
BUILDING = WaitingLine("new classifiers", places=2, max_waiting=64, max_seconds=300)
# Of those that are built when they are first asked for an answer, which keeps others waiting.
RESTORING = WaitingLine("classifiers to build again", places=2, max_waiting=4, max_seconds=300)

Words = tuple[str, Sequence[str], Sequence[str]]  # name, templates, classes


class HeadLibrary:
    """Heads for `encoder`, kept in `store` and, the last used ones, in memory."""

    def __init__(self, encoder: Encoder, store: HeadStore, max_prompts: int = MAX_PROMPTS) -> None:
        """
        Args:
            max_prompts: that a head may be promised from.
        """
        self.encoder = encoder
        self._max_prompts = max_prompts
        self._store = store
        self._prompts = PromptCache(encoder.encode_texts)
        self._recent: LRUCache[str, Head] = LRUCache(
            MAX_HEAD_BYTES_IN_MEMORY, getsizeof=lambda head: head.weights.nbytes
        )
        self._promised: LRUCache[str, Words] = LRUCache(
            MAX_PROMISED_CHARACTERS, getsizeof=_characters_in
        )
        self._recent_lock = threading.Lock()  # of the two above
        # Locks live as long as somebody builds or waits: ids never end.
        self._building: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def find(self, classifier: str) -> Head:
        """The head of a shipped label set's id or of a head's id.

        Builds the former, and the latter if it was promised.

        Raises:
            HeadError: no such classifier for this model.
        """
        if classifier in label_list_ids():
            labels = load_label_list(classifier)
            # Not in line: there are few of them, and nobody can make more.
            return self.create(labels.name, labels.templates, labels.classes, in_line=False)
        head = self._remembered(classifier)
        if head is None:
            with self._recent_lock:
                promised = self._promised.get(classifier)
            if promised is not None:
                with RESTORING.turn():
                    return self.create(*promised)
            raise HeadError(
                f"There is no classifier “{str(classifier)[:64]}” here; choose a label set, "
                "or create the classifier again."
            )
        if (head.model, head.fingerprint) != (self.encoder.model_name, self.encoder.fingerprint):
            raise HeadError(
                f"The classifier “{head.name}” was made for the model {head.model}; "
                f"create it again for {self.encoder.model_name}."
            )
        return head

    def create(
        self,
        name: str,
        templates: Sequence[str],
        classes: Sequence[str],
        progress: Progress | None = None,
        before_building: Callable[[int, int], None] | None = None,
        in_line: bool = True,
    ) -> Head:
        """The zero-shot head of these words: from memory, from disk, or built now.

        Args:
            progress: as `build_zero_shot_head`; called while waiting, too.
            before_building: called with the numbers of classes and of prompts, only where the
                head has to be built; what it raises stops that.
            in_line: wait until few others build.

        Raises:
            ClassNamesError, TemplateError: as `build_zero_shot_head`.
            BusyError: too many wait already.
        """
        name = clean_text(name)  # a browser keeps words, and may give back others
        check_words(classes, templates)
        head_id = zero_shot_head_id(self.encoder, classes, templates)
        with self._recent_lock:
            building = self._building.setdefault(head_id, threading.Lock())
        with _held(building, self._still_wanted(progress, len(classes))):
            head = self._remembered(head_id)
            if head is None:
                wanted = self._still_wanted(progress, len(classes))
                with BUILDING.turn(wanted) if in_line else nullcontext():
                    if before_building is not None:  # in its turn: who is sent away pays nothing
                        before_building(len(classes), len(classes) * len(templates))
                    head = build_zero_shot_head(
                        self.encoder,
                        classes,
                        templates,
                        name=name,
                        progress=progress,
                        encode_texts=self._prompts.encode_texts,
                    )
                self.keep(head)
        # The id leaves out the name, so whoever made these words first named it otherwise.
        return head if head.name == name else replace(head, name=name)

    def _still_wanted(self, progress: Progress | None, n_classes: int) -> Callable[[], None]:
        """What raises, while a head waits to be built, once nobody wants it any more."""

        def check() -> None:
            if progress is not None:
                progress(0, n_classes)

        return check

    def promise(self, name: str, templates: Sequence[str], classes: Sequence[str]) -> str:
        """The id that `create` would give; `find` builds the head when it is asked for.

        Raises:
            ClassNamesError, TemplateError: as `create`.
        """
        check_words(classes, templates)
        check_prompt_count(len(classes), len(templates), self._max_prompts)
        head_id = zero_shot_head_id(self.encoder, classes, templates)
        with self._recent_lock:
            self._promised[head_id] = (name, templates, classes)
        return head_id

    def build_label_lists(self) -> None:
        """Builds the heads of all shipped label sets, so that later none has to wait."""
        for list_id in label_list_ids():
            self.find(list_id)

    def has(self, templates: Sequence[str], classes: Sequence[str]) -> bool:
        """Whether `create` answers without building."""
        return self._remembered(zero_shot_head_id(self.encoder, classes, templates)) is not None

    def is_ready(self, classifier: str) -> bool:
        """Whether `find` answers without building."""
        if classifier in label_list_ids():
            labels = load_label_list(classifier)
            return self.has(labels.templates, labels.classes)
        return self._remembered(classifier) is not None

    def keep(self, head: Head) -> None:
        """Lets `find` give the head by its id, while the store has room for it."""
        try:
            self._store.put(head)
        except (OSError, HeadError) as error:
            # A full disk costs the next start time, not this answer.
            _log.warning("A head could not be kept on disk: %s", error)
        self._remember(head)

    def _remembered(self, head_id: str) -> Head | None:
        with self._recent_lock:
            head = self._recent.get(head_id)
        if head is not None:
            return head
        head = self._store.get(head_id)
        if head is not None:
            self._remember(head)
        return head

    def _remember(self, head: Head) -> None:
        with self._recent_lock:
            self._recent[head.id] = head


@contextmanager
def _held(lock: threading.Lock, still_wanted: Callable[[], None]) -> Iterator[None]:
    """As `with lock`, asking `still_wanted` while waiting."""
    while not lock.acquire(timeout=SECONDS_BETWEEN_CHECKS):
        still_wanted()
    try:
        yield
    finally:
        lock.release()


def _characters_in(words: Words) -> int:
    name, templates, classes = words
    return len(name) + sum(map(len, templates)) + sum(map(len, classes))
