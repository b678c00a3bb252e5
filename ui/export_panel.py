"""The side panel: the chosen classifier as a file for the phone."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gradio as gr
import numpy as np

from classifiers.errors import HeadsmithError
from classifiers.export.cache import ExportCache
from classifiers.export.export import (
    ENCODER_FORMATS,
    FRAME_FORMATS,
    HEAD_FORMATS,
    ROUNDED_FORMATS,
    estimate_head_bytes,
    missing_library,
)
from classifiers.export.precision import PRECISIONS, Change, measure_change
from classifiers.heads.head import Head
from classifiers.images import open_picture
from classifiers.loaded_models import LoadedModels
from ui import render
from ui.messages import tell
from ui.picture import example_pictures
from ui.state import OwnClassifier, PictureInHand, model_of

if TYPE_CHECKING:
    from classifiers.encoder.encoder import Encoder

WEIGHTS = [(f"{bits} weights", precision) for precision, bits in PRECISIONS.items()]
PIXELS = "Pixels, resized and cropped: float32 (n, 3, height, width)"
FRAMES = "Camera frames of any size: uint8 (n, height, width, 3)"

_measuring = threading.Lock()
_seen: WeakKeyDictionary[Encoder, dict[str, np.ndarray]] = WeakKeyDictionary()

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
        head = models.library(model_of(in_hand)).find(chosen)
    except HeadsmithError as error:
        return render.error_html(str(error))
    n_bytes = estimate_head_bytes(head, suffix)
    return render.export_html(len(head.classes), head.embed_dim, head.model, n_bytes)


def head_change(
    models: LoadedModels,
    chosen: str,
    suffix: str,
    precision: str,
    in_hand: PictureInHand | None = None,
) -> str:
    """What fewer bits change, measured with the example pictures.

    Inputs: classifier's id; format; precision; what is in hand.  Outputs: HTML.
    """
    if precision == "float32":
        return ""
    if suffix not in ROUNDED_FORMATS:
        return f"<p>It makes no difference to .{suffix} files.</p>"
    try:
        library = models.library(model_of(in_hand))
        head = library.find(chosen)
        rows = example_embeddings(library.encoder, "float32")
        size = render.file_size(estimate_head_bytes(head, suffix, precision))
        return f"<p>{size}. {told(measure_change(head, precision, rows))}</p>"
    except HeadsmithError as error:
        return render.error_html(str(error))


def encoder_change(
    models: LoadedModels, chosen: str, precision: str, in_hand: PictureInHand | None = None
) -> str:
    """What an encoder of fewer bits changes in the chosen classifier's answers.

    Inputs: classifier's id; precision; what is in hand.  Outputs: HTML.
    """
    if precision == "float32":
        return ""
    try:
        library = models.library(model_of(in_hand))
        whole, rounded = (
            example_embeddings(library.encoder, bits) for bits in ("float32", precision)
        )
        change = measure_change(library.find(chosen), "float32", whole, rounded)
        return f"<p>With the chosen classifier: {told(change)}</p>"
    except HeadsmithError as error:
        return render.error_html(str(error))


def told(change: Change) -> str:
    """`change` in a sentence."""
    if not change.n_pictures:
        return "There are no example pictures to measure the change with."
    moves = f"by {100 * change.largest_difference:.2g} percentage points at most"
    return (
        f"Same best class for {change.n_same_best} of {change.n_pictures} example pictures; "
        f"probabilities move {moves if change.largest_difference else 'not at all'}."
    )


def example_embeddings(encoder: Encoder, precision: str) -> np.ndarray:
    """`(n, embed_dim)` for the example pictures, computed once for each encoder."""
    with _measuring:
        kept = _seen.setdefault(encoder, {})
        if precision not in kept:
            from classifiers.export.torchscript import encode_rounded  # torch, late

            pictures = [open_picture(path) for path in example_pictures()]
            kept[precision] = (
                encode_rounded(encoder, pictures, precision)
                if pictures
                else encoder.encode_images([])
            )
        return kept[precision]


def head_file(
    models: LoadedModels,
    exports: ExportCache,
    chosen: str,
    suffix: str,
    own: Any,
    in_hand: PictureInHand | None = None,
    precision: str = "float32",
) -> Any:
    """The chosen classifier as a file.

    Inputs: classifier's id; format; own classifiers; what is in hand; precision.
    Outputs: the file.
    """
    try:
        library = models.library(model_of(in_hand))
        head = named(library.find(chosen), OwnClassifier.list_from(own))
        precision = precision if suffix in ROUNDED_FORMATS else "float32"
        return str(exports.head_file(head, suffix, precision))
    except HeadsmithError as error:
        tell(error)
        return gr.skip()


def encoder_file(
    models: LoadedModels,
    exports: ExportCache,
    suffix: str,
    in_hand: PictureInHand | None = None,
    takes: str = PIXELS,
    precision: str = "float32",
) -> Any:
    """The model's image encoder as a file.

    Inputs: format; what is in hand; what it takes; precision.  Outputs: the file.
    """
    try:
        encoder = models.library(model_of(in_hand)).encoder
        return str(
            exports.encoder_file(encoder, suffix, frames=takes == FRAMES, precision=precision)
        )
    except HeadsmithError as error:
        tell(error)
        return gr.skip()


def format_choices(formats: dict[str, str]) -> list[tuple[str, str]]:
    """Labels and suffixes for a menu, saying which need a library that is not there."""
    return [
        (f"{label}, needs {missing}" if (missing := missing_library(suffix)) else label, suffix)
        for suffix, label in formats.items()
    ]


def named(head: Head, own: list[OwnClassifier]) -> Head:
    """`head` under the name its visitor knows it by."""
    names = {classifier.id: classifier.name for classifier in own}
    return replace(head, name=names.get(head.id, head.name))


def build_export_panel(
    models: LoadedModels,
    exports: ExportCache,
    own: gr.BrowserState,
    chosen: gr.Dropdown,
    in_hand: gr.State,
) -> tuple[gr.HTML, gr.Dropdown]:
    """Format, what the file holds, one button; the encoder below."""
    private: dict[str, Any] = {"api_visibility": "private"}
    gr.HTML("<h2>Export for mobile</h2><p>The chosen classifier as a file that runs on a phone, "
            "beside the image encoder.</p>", elem_classes="hs-heading")  # fmt: skip
    suffix = gr.Dropdown(
        format_choices(HEAD_FORMATS),
        value="pt", label="Format", filterable=False, elem_id="hs-format",
    )  # fmt: skip
    precision = gr.Dropdown(WEIGHTS, value="float32", label="Weights", filterable=False)
    summary = gr.HTML("", elem_id="hs-export-summary", min_height=110)
    change = gr.HTML("", elem_id="hs-export-change")
    download = gr.Button("Download", variant="primary", elem_id="hs-download")
    saved_head = gr.DownloadButton(visible="hidden", elem_id="hs-head-file")

    gr.on(
        [chosen.change, suffix.change],
        partial(summarise, models), [chosen, suffix, in_hand], summary,
        show_progress="hidden", trigger_mode="always_last", **private,
    )  # fmt: skip
    gr.on(  # the summary changes with the classifier and the model too
        [summary.change, suffix.change, precision.change],
        partial(head_change, models), [chosen, suffix, precision, in_hand], change,
        show_progress="hidden", trigger_mode="always_last", **private,
    )  # fmt: skip
    download.click(
        partial(head_file, models, exports), [chosen, suffix, own, in_hand, precision], saved_head,
        show_progress_on=summary, concurrency_id="export", concurrency_limit=2, **private,
    ).success(None, None, None, js=SAVE_HEAD_JS)  # fmt: skip
    _build_encoder_part(models, exports, chosen, in_hand, summary)
    return summary, suffix


def _build_encoder_part(
    models: LoadedModels,
    exports: ExportCache,
    chosen: gr.Dropdown,
    in_hand: gr.State,
    summary: gr.HTML,
) -> None:
    private: dict[str, Any] = {"api_visibility": "private"}
    with gr.Accordion("Image encoder", open=False):
        gr.HTML("<p>Put it into the app once. Every head of the same model runs beside it.</p>")
        suffix = gr.Dropdown(
            format_choices(ENCODER_FORMATS), value="pt", label="Encoder format", filterable=False
        )
        takes = gr.Dropdown(
            [PIXELS, FRAMES], value=PIXELS, label="Takes", filterable=False,
            info=f"Camera frames are for {' and '.join(f'.{name}' for name in FRAME_FORMATS)}.",
        )  # fmt: skip
        precision = gr.Dropdown(WEIGHTS, value="float32", label="Encoder weights", filterable=False)
        change = gr.HTML("")
        download = gr.Button("Download encoder", elem_id="hs-download-encoder")
        saved = gr.DownloadButton(visible="hidden", elem_id="hs-encoder-file")
    gr.on(
        [precision.change, summary.change],
        partial(encoder_change, models), [chosen, precision, in_hand], change,
        concurrency_id="export", trigger_mode="always_last", **private,
    )  # fmt: skip
    download.click(
        partial(encoder_file, models, exports), [suffix, in_hand, takes, precision], saved,
        show_progress_on=change, concurrency_id="export", concurrency_limit=2, **private,
    ).success(None, None, None, js=SAVE_ENCODER_JS)  # fmt: skip
