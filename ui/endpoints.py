"""The public endpoints for `gradio_client` and MCP: names and forms are a contract (DESIGN.md).

Their docstrings are what an assistant reads to use them; Gradio takes one line an argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.export.cache import ExportCache
from classifiers.export.export import HEAD_FORMATS
from classifiers.heads.untrusted_file import MAX_HEAD_FILE_BYTES, open_head
from classifiers.loaded_models import LoadedModels
from classifiers.words.label_lists import (
    label_list_ids,
    load_label_list,
)
from classifiers.words.typed_words import read_typed_words
from server.limits import LimitKeeper
from ui.file_input import FileBox
from ui.messages import api_error
from ui.picture import encode_upload
from ui.picture_input import PictureInput
from ui.uploads import copied_upload

T = TypeVar("T")


def classify(models: LoadedModels, image: str | None, classifier: str) -> dict[str, float]:
    """Says what a picture shows: its five likeliest classes, with probabilities that sum to 1 or
    less.  Answers within one set of classes, so choose the classifier by the question: "nouns"
    for "what is this?", "animals", "cat_breeds" …; list_classifiers names all of them, and
    create_classifier makes one of any words.

    Args:
        image: the picture: an http(s) URL that is publicly reachable, or a data: URL (base64).
        classifier: a label set's id, such as "nouns", or the id that create_classifier returned.
    """
    try:
        if image is None:
            raise gr.Error("Send a picture.", print_exception=False)
        library = models.library()
        head = library.find(classifier or "")
        prediction = head.predict(encode_upload(models, library.encoder, image))[0]
    except HeadsmithError as error:
        raise api_error(error) from error
    return {guess.class_name: guess.probability for guess in prediction}


def create_classifier(
    models: LoadedModels,
    keeper: LimitKeeper,
    name: str,
    template: str,
    classes: str,
    request: gr.Request,
) -> tuple[str, str]:
    """Makes an image classifier from words alone, without training, and returns its id and a
    one-line summary.  Give the id to classify or export_classifier as their classifier.

    Args:
        name: what to call it, for people; may be empty.
        template: a sentence with {} where the class goes, e.g. "This is a photo of a {}".
        classes: what to tell apart, separated by commas or one a line, e.g. "cat, dog, goldfish".
    """
    try:
        # A client may send null where a text belongs.
        words = read_typed_words(name or "", template or "", classes or "")
        count = partial(keeper.count_new_head, request)
        head = models.library().create(
            words.name, words.templates, words.classes, before_building=count
        )
    except HeadsmithError as error:
        raise api_error(error) from error
    left_out = f", {words.n_repeated:,} repeated left out" if words.n_repeated else ""
    return head.id, f"{head.name}: {len(head.classes):,} classes{left_out}, model {head.model}"


def export_classifier(
    models: LoadedModels, exports: ExportCache, classifier: str, format: str
) -> str:
    """The classifier as a file that runs on a phone, beside the image encoder.

    Args:
        classifier: a label set's id, such as "nouns", or the id that create_classifier returned.
        format: pt, ptl, zip, onnx, pte, safetensors, xml, txt or json.
    """
    try:
        head = models.library().find(classifier or "")
        if format not in HEAD_FORMATS:
            known = ", ".join(HEAD_FORMATS)
            raise gr.Error(
                f"There is no format “{str(format)[:20]}”; use {known}.", print_exception=False
            )
        return str(exports.head_file(head, format))
    except HeadsmithError as error:
        raise api_error(error) from error


def list_classifiers() -> list[dict[str, Any]]:
    """The ready-made label sets that classify can answer in: for each its id, name, description,
    number of classes and prompt templates.  Ask this first when unsure which one fits.
    """
    return [load_label_list(list_id).summary() for list_id in label_list_ids()]


def import_head(
    models: LoadedModels, keeper: LimitKeeper, file: str | None, request: gr.Request
) -> tuple[str, str]:
    """Takes in a .safetensors head of Headsmith's; returns its id and a one-line summary.

    Args:
        file: the head, made for the model in use.  TorchScript is refused: it would run.
    """
    try:
        if file is None:
            raise gr.Error("Send a .safetensors head.", print_exception=False)
        with copied_upload(file, MAX_HEAD_FILE_BYTES) as copy:
            head = open_head(models.library(), copy, partial(keeper.count_new_head, request))
    except HeadsmithError as error:
        raise api_error(error) from error
    return head.id, f"{head.name}: {len(head.classes):,} classes, model {head.model}"


def bound(function: Callable[..., T], *first: Any) -> Callable[..., T]:
    """`function` without its first arguments, but with its name and description.

    MCP calls a tool as its function is called; a `partial` has no name.
    """

    @wraps(function)
    def call(*arguments: Any) -> T:
        return function(*first, *arguments)

    signature = inspect.signature(function)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(signature.parameters.values())[len(first) :]
    )
    return call


def build_endpoints(models: LoadedModels, keeper: LimitKeeper, exports: ExportCache) -> None:
    """Endpoints have components of their own, unseen, so that the page can change freely."""
    with gr.Column(visible=False):
        image = PictureInput(type="filepath", image_mode=None, label="image")
        texts = [gr.Textbox(label=label) for label in ("first", "second", "third")]
        label = gr.Label(num_top_classes=5)
        outputs = [gr.Textbox(label="id"), gr.Textbox(label="summary")]
        file, table = gr.File(), gr.JSON()
        head = FileBox(label="file")
        trigger = gr.Button()
    trigger.click(
        bound(classify, models), [image, texts[0]], label,
        api_name="classify", concurrency_id="picture",
    )  # fmt: skip
    trigger.click(
        bound(create_classifier, models, keeper), texts, outputs,
        api_name="create_classifier", concurrency_id="build",
    )  # fmt: skip
    trigger.click(
        bound(export_classifier, models, exports), texts[:2], file,
        api_name="export_classifier", concurrency_id="export",
    )  # fmt: skip
    trigger.click(
        bound(import_head, models, keeper), head, outputs,
        api_name="import", concurrency_id="build",
    )  # fmt: skip
    trigger.click(list_classifiers, None, table, api_name="list_classifiers")
