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
    from classifiers.encoder import Encoder
    from classifiers.errors import HeadsmithError
    from classifiers.export import export_encoder, export_head
    from classifiers.heads import Guess, Head, Prediction
    from classifiers.images import open_picture
    from classifiers.label_lists import LabelList, label_list_ids, load_label_list
    from classifiers.library import HeadLibrary
    from classifiers.model_files import load_encoder
    from classifiers.store import HeadStore
    from classifiers.zero_shot import build_zero_shot_head

_HOME = {
    "Encoder": "encoder",
    "load_encoder": "model_files",
    "HeadsmithError": "errors",
    "export_encoder": "export",
    "export_head": "export",
    "Guess": "heads",
    "Head": "heads",
    "Prediction": "heads",
    "open_picture": "images",
    "LabelList": "label_lists",
    "label_list_ids": "label_lists",
    "load_label_list": "label_lists",
    "HeadLibrary": "library",
    "HeadStore": "store",
    "build_zero_shot_head": "zero_shot",
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
