"""The side panel: the chosen classifier as a file for the phone."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.export import (
    ENCODER_FORMATS,
    HEAD_FORMATS,
    estimate_head_bytes,
    export_encoder,
    export_head,
    renamed,
    resource_name,
)
from classifiers.heads import Head
from classifiers.loading import LoadedModels
from ui import render
from ui.messages import tell
from ui.state import OwnClassifier, PictureInHand

# The browser saves the file of a hidden link: Gradio's own download button has its file
# ready before the click, which would mean exporting at every change of the label set.
SAVE_HEAD_JS = "() => { document.querySelector('#hs-head-file')?.click(); }"
SAVE_ENCODER_JS = "() => { document.querySelector('#hs-encoder-file')?.click(); }"


def summarise(
    models: LoadedModels, chosen: str, suffix: str, in_hand: PictureInHand | None = None
) -> str:
    """What the file will hold.

    Inputs: classifier's id; format; what is in hand.  Outputs: HTML.
    """
    try:
        head = models.library(in_hand.model if in_hand else None).find(chosen)
    except HeadsmithError as error:
        return render.error_html(str(error))
    n_bytes = estimate_head_bytes(head, suffix)
    return render.export_html(len(head.classes), head.embed_dim, head.model, n_bytes)


def head_file(
    models: LoadedModels,
    chosen: str,
    suffix: str,
    own: Any,
    in_hand: PictureInHand | None = None,
) -> Any:
    """The chosen classifier as a file.

    Inputs: classifier's id; format; own classifiers; what is in hand.  Outputs: the file.
    """
    try:
        library = models.library(in_hand.model if in_hand else None)
        head = named(library.find(chosen), OwnClassifier.list_from(own))
        return str(export_head(head, new_file(resource_name(head.name), suffix)))
    except HeadsmithError as error:
        tell(error)
        return gr.skip()


def encoder_file(models: LoadedModels, suffix: str, in_hand: PictureInHand | None = None) -> Any:
    """The model's image encoder as a file.

    Inputs: format; what is in hand.  Outputs: the file.
    """
    try:
        encoder = models.library(in_hand.model if in_hand else None).encoder
        stem = f"encoder_{resource_name(encoder.model_name)}"
        return str(export_encoder(encoder, new_file(stem, suffix)))
    except HeadsmithError as error:
        tell(error)
        return gr.skip()


def named(head: Head, own: list[OwnClassifier]) -> Head:
    """`head` under the name its visitor knows it by."""
    names = {classifier.id: classifier.name for classifier in own}
    return renamed(head, names.get(head.id, head.name))


def new_file(stem: str, suffix: str) -> Path:
    """A path for an export, in a folder of its own; Gradio copies what handlers return."""
    return Path(tempfile.mkdtemp(prefix="headsmith-")) / f"{stem}.{suffix}"


def build_export_panel(
    models: LoadedModels, own: gr.BrowserState, chosen: gr.Dropdown, in_hand: gr.State
) -> tuple[gr.HTML, gr.Dropdown]:
    """Format, what the file holds, one button; the encoder below."""
    private: dict[str, Any] = {"api_visibility": "private"}
    gr.HTML("<h2>Export for mobile</h2><p>The chosen classifier as a file that runs on a phone, "
            "beside the image encoder.</p>", elem_classes="hs-heading")  # fmt: skip
    suffix = gr.Dropdown(
        [(label, key) for key, label in HEAD_FORMATS.items()],
        value="pt", label="Format", filterable=False, elem_id="hs-format",
    )  # fmt: skip
    summary = gr.HTML("", elem_id="hs-export-summary", min_height=110)
    download = gr.Button("Download", variant="primary", elem_id="hs-download")
    saved_head = gr.DownloadButton(visible="hidden", elem_id="hs-head-file")
    with gr.Accordion("Image encoder", open=False):
        gr.HTML("<p>Put it into the app once. Every head of the same model runs beside it.</p>")
        encoder_suffix = gr.Dropdown(
            [(label, key) for key, label in ENCODER_FORMATS.items()],
            value="pt", label="Encoder format", filterable=False,
        )  # fmt: skip
        download_encoder = gr.Button("Download encoder", elem_id="hs-download-encoder")
        saved_encoder = gr.DownloadButton(visible="hidden", elem_id="hs-encoder-file")

    gr.on(
        [chosen.change, suffix.change],
        partial(summarise, models), [chosen, suffix, in_hand], summary,
        show_progress="hidden", trigger_mode="always_last", **private,
    )  # fmt: skip
    download.click(
        partial(head_file, models), [chosen, suffix, own, in_hand], saved_head,
        show_progress_on=summary, concurrency_id="export", concurrency_limit=2, **private,
    ).success(None, None, None, js=SAVE_HEAD_JS)  # fmt: skip
    download_encoder.click(
        partial(encoder_file, models), [encoder_suffix, in_hand], saved_encoder,
        show_progress_on=summary, concurrency_id="export", concurrency_limit=2, **private,
    ).success(None, None, None, js=SAVE_ENCODER_JS)  # fmt: skip
    return summary, suffix
