"""Words and pictures → image classifiers, by CLIP.  Knows nothing of the web.

    encoder = load_encoder("builtin")
    labels = load_label_list("cat_breeds")
    head = build_zero_shot_head(encoder, labels.classes, labels.templates, name=labels.name)
    predictions = head.predict(encoder.encode_images([open_picture("cat.jpg")]))
    export_head(head, "cat_breeds.pt")

The names below are loaded when first used, so that a page can be served before torch is.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from classifiers.encoder.encoder import Encoder
    from classifiers.encoder.load import load_encoder
    from classifiers.errors import HeadsmithError
    from classifiers.export.export import export_encoder, export_head
    from classifiers.heads.head import Guess, Head, Prediction
    from classifiers.heads.library import HeadLibrary
    from classifiers.heads.store import HeadStore
    from classifiers.heads.zero_shot import build_zero_shot_head
    from classifiers.images import open_picture
    from classifiers.words.label_lists import LabelList, label_list_ids, load_label_list

_HOME = {
    "Encoder": "encoder.encoder",
    "load_encoder": "encoder.load",
    "HeadsmithError": "errors",
    "export_encoder": "export.export",
    "export_head": "export.export",
    "Guess": "heads.head",
    "Head": "heads.head",
    "Prediction": "heads.head",
    "open_picture": "images",
    "LabelList": "words.label_lists",
    "label_list_ids": "words.label_lists",
    "load_label_list": "words.label_lists",
    "HeadLibrary": "heads.library",
    "HeadStore": "heads.store",
    "build_zero_shot_head": "heads.zero_shot",
}
__all__ = [
    "Encoder",
    "Guess",
    "Head",
    "HeadLibrary",
    "HeadStore",
    "HeadsmithError",
    "LabelList",
    "Prediction",
    "build_zero_shot_head",
    "export_encoder",
    "export_head",
    "label_list_ids",
    "load_encoder",
    "load_label_list",
    "open_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classifiers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"classifiers.{_HOME[name]}"), name)
