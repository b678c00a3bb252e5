"""What a visitor has in hand: small dataclasses for `gr.State`, and what a browser keeps.

Browser state is a list of `OwnClassifier` as dicts and a `draft` dict.  Both come from a
visitor's machine, so nothing in them is believed.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classifiers.errors import HeadError
from classifiers.words.label_lists import label_list_ids, load_label_list

if TYPE_CHECKING:  # it imports torch
    from classifiers.heads.library import HeadLibrary

DEFAULT_CLASSIFIER = "nouns"
DEFAULT_TEMPLATE = "This is a photo of a {}"

MAX_OWN_CLASSIFIERS = 50  # localStorage holds 5 MB


@dataclass
class PictureInHand:
    """The picture everything answers about, and the model that answers."""

    path: str | None = None
    embedding: np.ndarray | None = None  # float32 (1, embed_dim), by `model`
    model: str | None = None  # None: the default one


def model_of(in_hand: PictureInHand | None) -> str | None:
    """The model that answers a visitor; None is the default one."""
    return in_hand.model if in_hand else None


@dataclass(frozen=True)
class OwnClassifier:
    """A classifier that a visitor made: enough to build it again, for any model.

    One that was opened from a file cannot be built from words; it is there while the server
    keeps it, and for the model it was made for.
    """

    id: str
    name: str
    templates: tuple[str, ...]
    classes: tuple[str, ...]
    opened: bool = False  # from a file

    def id_with(self, library: HeadLibrary) -> str:
        """The id by which the library finds the classifier for its model; builds nothing.

        Raises:
            HeadsmithError: opened from a file that is gone or of another model; odd words.
        """
        if not self.opened:
            return library.promise(self.name, self.templates, self.classes)
        if not library.is_ready(self.id):
            raise HeadError(
                f"“{self.name}” was opened from a file and is not kept here any more; "
                "open the file again."
            )
        return library.find(self.id).id

    @staticmethod
    def list_from(browser_state: Any) -> list[OwnClassifier]:
        """The entries of a browser's list that have the right form; others are dropped."""
        entries = browser_state if isinstance(browser_state, list) else []
        owned = []
        for entry in entries[:MAX_OWN_CLASSIFIERS]:
            try:
                owned.append(
                    OwnClassifier(
                        id=str(entry["id"]),
                        name=str(entry["name"]),
                        templates=tuple(str(t) for t in entry["templates"]),
                        classes=tuple(str(c) for c in entry["classes"]),
                        opened=entry.get("opened") is True,
                    )
                )
            except (TypeError, KeyError, AttributeError):
                continue
        return owned

    def to_browser(self) -> dict[str, Any]:
        return asdict(self)


def classifier_choices(own: list[OwnClassifier]) -> list[tuple[str, str]]:
    """`(shown name, id)` of the visitor's classifiers, newest first, then the label sets."""
    mine = [
        (f"{c.name} ({'opened' if c.opened else 'mine'}, {len(c.classes):,})", c.id)
        for c in reversed(own)
    ]
    shipped = [load_label_list(list_id) for list_id in label_list_ids()]
    return mine + [(f"{labels.name} ({len(labels.classes):,})", labels.id) for labels in shipped]


class Cancellations:
    """Which sessions asked for their running work to stop."""

    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, session: str) -> None:
        with self._lock:
            self._wanted.add(session)

    def clear(self, session: str) -> None:
        with self._lock:
            self._wanted.discard(session)

    def asked(self, session: str) -> bool:
        with self._lock:
            return session in self._wanted
