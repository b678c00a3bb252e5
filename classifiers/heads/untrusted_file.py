"""A head that somebody uploads → a head of the model in use.  Never runs what a file holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classifiers.errors import (
    ClassNamesError,
    HeadError,
    HeadsmithError,
    LimitError,
    TemplateError,
)
from classifiers.heads.head import Head
from classifiers.words.label_lists import check_class_names
from classifiers.words.prompts import brief, check_templates, clean_text
from classifiers.words.typed_words import MAX_NAME_CHARACTERS

if TYPE_CHECKING:
    from classifiers.heads.library import HeadLibrary

MAX_HEAD_FILE_BYTES = 50_000_000  # 10,000 classes × 1,024 numbers are 41 MB
MAX_HEADER_BYTES = 10_000_000  # class names and templates; as files of names are 5 MB at most
SAME_WEIGHTS_TOLERANCE = 1e-4  # largest difference of an entry that rounding makes

_LENGTH_BYTES = 8
_PICKLE, _ZIP = b"\x80", b"PK"
_SUFFIXES_OF_PROGRAMS = (".pt", ".ptl", ".pth", ".pkl", ".bin", ".zip")


def open_head(
    library: HeadLibrary,
    path: str | Path,
    before_keeping: Callable[[int, int], None] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Head:
    """The head in the file at `path`, kept in `library` under an id of its content.

    A zero-shot head whose weights are what its words give is the one those words make.
    Any other gets an id that tells its weights, so that nobody who types the same words is
    given weights of a stranger.  A zero-shot head of other weights of the model in use, such
    as an older built-in model, is made again from its words.

    Args:
        before_keeping: called with the numbers of classes and of prompts of a head that is not
            kept here already; what it raises stops that.
        notify: called with a sentence where the head was made again.

    Raises:
        HeadError: no `.safetensors` head, of another model, or with wrong numbers.
    """
    path = Path(path)
    try:
        _refuse_other_files(path)
        head = Head.load(path)
    except OSError as error:
        raise HeadError(
            f"“{brief(path.name)}” cannot be read now ({error.strerror}); try again."
        ) from error
    if _is_of_other_weights(head, library):
        head = _with_clean_words(head, library)
        again = library.create(
            head.name, head.templates, head.classes, before_building=before_keeping
        )
        if notify is not None:
            notify(
                f"“{brief(head.name)}” was made with other weights of {head.model}, so it was "
                "made again from its words; its answers may differ."
            )
        return again
    head = _checked(head, library)
    genuine = _of_its_words(head, library, before_keeping)
    if genuine is not None:
        return genuine
    head = replace(head, examples=_digest(head))
    if before_keeping is not None and not library.is_ready(head.id):
        before_keeping(len(head.classes), len(head.classes))
    library.keep(head)
    return head


def _refuse_other_files(path: Path) -> None:
    with open(path, "rb") as file:
        first = file.read(_LENGTH_BYTES + 1)
    # safetensors begins with a length, whose bytes may be any, and then JSON.
    is_safetensors = first[_LENGTH_BYTES:] == b"{"
    if not is_safetensors and (
        first.startswith((_PICKLE, _ZIP)) or path.suffix.lower() in _SUFFIXES_OF_PROGRAMS
    ):
        raise HeadError(
            f"“{brief(path.name)}” is a TorchScript, pickle or zip file, and loading one runs the "
            "code in it; open the .safetensors file of the classifier instead."
        )
    if path.stat().st_size > MAX_HEAD_FILE_BYTES:
        raise HeadError(
            f"“{brief(path.name)}” is larger than {MAX_HEAD_FILE_BYTES // 1_000_000} MB; "
            "no head of ours is."
        )
    if is_safetensors and int.from_bytes(first[:_LENGTH_BYTES], "little") > MAX_HEADER_BYTES:
        raise HeadError(
            f"“{brief(path.name)}” is not a head: its names and templates take more than "
            f"{MAX_HEADER_BYTES // 1_000_000} MB."
        )


def _is_of_other_weights(head: Head, library: HeadLibrary) -> bool:
    """Whether the words of `head` can stand in for it under the model in use."""
    encoder = library.encoder
    is_other = head.model == encoder.model_name and head.fingerprint != encoder.fingerprint
    return is_other and head.kind == "zero-shot" and head.bias is None and not head.examples


def _checked(head: Head, library: HeadLibrary) -> Head:
    """`head` with clean names and the encoder's own preprocessing, if it is of that model."""
    encoder = library.encoder
    if (head.model, head.fingerprint) != (encoder.model_name, encoder.fingerprint):
        other = head.model if head.model != encoder.model_name else "other weights of it"
        raise HeadError(
            f"The head is for the model {brief(other, 80)}, and {encoder.model_name} is in "
            "use; switch to its model, then open it again."
        )
    if head.embed_dim != encoder.embed_dim:
        raise HeadError(
            f"The head has {head.embed_dim:,} numbers a class; "
            f"{encoder.model_name} needs {encoder.embed_dim:,}."
        )
    return _with_clean_words(head, library)


def _with_clean_words(head: Head, library: HeadLibrary) -> Head:
    encoder = library.encoder
    classes = tuple(clean_text(name) for name in head.classes)
    templates = tuple(clean_text(template) for template in head.templates)
    try:
        check_class_names(classes)
        templates = check_templates(templates) if templates else ()
    except (ClassNamesError, TemplateError) as error:
        raise HeadError(f"The head's words cannot be used: {error}") from error
    if not all(classes) or len({name.casefold() for name in classes}) < len(classes):
        raise HeadError("The head's classes must have names, each its own.")
    return replace(
        head,
        name=clean_text(head.name)[:MAX_NAME_CHARACTERS] or "Opened classifier",
        classes=classes,
        templates=templates,
        image_size=encoder.image_size,
        mean=encoder.mean,
        std=encoder.std,
    )


def _of_its_words(
    head: Head, library: HeadLibrary, before_building: Callable[[int, int], None] | None
) -> Head | None:
    """The head that the words of `head` make, if it computes the same."""
    if head.kind != "zero-shot" or head.bias is not None:
        return None
    try:
        genuine = library.create(
            head.name, head.templates, head.classes, before_building=before_building
        )
    except LimitError:
        raise
    except HeadsmithError:
        return None
    same = _settings(head) == _settings(genuine) and np.allclose(
        head.weights, genuine.weights, rtol=0, atol=SAME_WEIGHTS_TOLERANCE
    )
    return genuine if same else None


def _settings(head: Head) -> tuple[object, ...]:
    """What beside the weights decides the answers."""
    return head.activation, head.logit_scale, head.logit_bias, head.abstain_below


def _digest(head: Head) -> str:
    digest = hashlib.sha256(json.dumps(_settings(head)).encode())
    for array in (head.weights, head.bias):
        if array is not None:
            digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return f"opened {digest.hexdigest()}"
