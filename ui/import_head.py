"""“Open a head”: a head file that was made elsewhere joins the visitor's classifiers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.heads.untrusted_file import MAX_HEAD_FILE_BYTES, open_head
from classifiers.loaded_models import LoadedModels
from server.limits import LimitKeeper
from ui.create_section import SHOW_ANSWER_JS
from ui.file_input import FileButton
from ui.messages import tell, tell_news
from ui.state import MAX_OWN_CLASSIFIERS, OwnClassifier, PictureInHand, classifier_choices
from ui.uploads import copied_upload


def open_file(
    models: LoadedModels,
    path: str | None,
    own: Any,
    in_hand: PictureInHand | None = None,
    count_new_head: Callable[[int, int], None] | None = None,
) -> tuple[Any, Any]:
    """Takes in the head and chooses it.

    `count_new_head` is called with numbers of classes and prompts, and refuses what is too much.

    Inputs: the uploaded file; own classifiers; what is in hand.
    Outputs: own classifiers; the menu.
    """
    if path is None:
        return gr.skip(), gr.skip()
    try:
        library = models.library(in_hand.model if in_hand else None)
        with copied_upload(path, MAX_HEAD_FILE_BYTES) as copy:
            head = open_head(library, copy, count_new_head, tell_news)
    except HeadsmithError as error:
        tell(error)
        return gr.skip(), gr.skip()
    of_words = not head.examples  # which can be built again
    opened = OwnClassifier(head.id, head.name, head.templates, head.classes, opened=not of_words)
    kept = [c for c in OwnClassifier.list_from(own) if c.id != head.id]
    kept = [*kept, opened][-MAX_OWN_CLASSIFIERS:]
    return (
        [classifier.to_browser() for classifier in kept],
        gr.update(choices=classifier_choices(kept), value=head.id),
    )


def build_import_button(
    models: LoadedModels,
    keeper: LimitKeeper,
    own: gr.BrowserState,
    chosen: gr.Dropdown,
    in_hand: gr.State,
) -> None:
    # Takes every file, so that the server can say what is wrong with one that is no head.
    button = FileButton(
        "Open a head (.safetensors)", size="sm", scale=0, min_width=240,
        elem_id="hs-open-head",
    )  # fmt: skip

    # Gradio finds the request by its annotation, which it cannot read through `partial`.
    def on_open(
        path: str | None, own: Any, in_hand: PictureInHand, request: gr.Request
    ) -> tuple[Any, Any]:
        return open_file(models, path, own, in_hand, partial(keeper.count_new_head, request))

    button.upload(
        on_open, [button, own, in_hand], [own, chosen],
        concurrency_id="build", api_visibility="private",
    ).success(None, None, None, js=SHOW_ANSWER_JS)  # fmt: skip
