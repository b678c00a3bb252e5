"""A picture in, five answers out; and what every other label set says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from classifiers.errors import HeadsmithError
from classifiers.heads.one_vs_rest import predict_independently
from classifiers.loaded_models import LoadedModels
from classifiers.words.label_lists import label_list_ids, load_label_list
from ui import render
from ui.messages import tell
from ui.picture import (
    example_pictures,
    is_shown_by_browsers,
    larger,
    open_upload_as_picture,
    shown_file,
)
from ui.picture_input import CameraInput, PictureInput
from ui.state import DEFAULT_CLASSIFIER, PictureInHand, classifier_choices

NO_PICTURE = "Give me a picture: upload, paste or snap one, or try an example."
CAMERA_SECONDS_BETWEEN_FRAMES = 0.4
CAMERA_MAX_SECONDS = 600
MAX_CAMERAS = 100  # at once

SETS_JS = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-set]');
    if (button) trigger('click', {set: button.dataset.set});
});
"""
# Gradio leaves the examples' buttons without a name for those who cannot see them.
NAME_EXAMPLES_JS = """() => {
    for (const button of document.querySelectorAll('#hs-examples button')) {
        const file = button.querySelector('img')?.src.split('/').pop() ?? '';
        button.ariaLabel = `Example: ${file.replace(/[0-9]*[.].*$/, '')}`;
    }
}"""
# An attribute, on something inside Gradio's container: its classes and the body's are not ours.
SHOW_COSINE_JS = "(on) => { document.querySelector('#hs-desk').dataset.cosine = on; }"


@dataclass
class ClassifyTab:
    """The components that other parts of the page listen to or fill."""

    picture: PictureInput
    camera: gr.Image
    in_hand: gr.State
    chosen: gr.Dropdown
    info: gr.HTML
    independent: gr.Checkbox
    answer: gr.HTML
    all_sets: gr.HTML


def look(
    models: LoadedModels, path: str | None, in_hand: PictureInHand
) -> tuple[PictureInHand, Any]:
    """Encodes the picture that was just chosen.

    Inputs: path of the upload; the picture so far.
    Outputs: the picture in hand; the picture shown.  A file that is no picture leaves
    both as they were.
    """
    if path is None:
        return put_down(in_hand), gr.skip()
    try:
        encoder = models.library(in_hand.model).encoder
        size = encoder.image_size if is_shown_by_browsers(path) else larger(encoder.image_size)
        picture = open_upload_as_picture(models, path, size)
    except HeadsmithError as error:
        tell(error)
        return in_hand, gr.update(value=in_hand.path)
    shown = shown_file(path, picture)
    seen = PictureInHand(shown, encoder.encode_images([picture]), in_hand.model)
    return seen, (gr.skip() if shown == path else gr.update(value=shown))


def put_down(in_hand: PictureInHand) -> PictureInHand:
    """No picture in hand, and the same model.  Inputs and outputs: what is in hand."""
    return PictureInHand(model=in_hand.model)


def watch(
    models: LoadedModels,
    frame: bytes | str | None,
    in_hand: PictureInHand,
    chosen: str,
    independent: bool = False,
) -> tuple[PictureInHand, str]:
    """Answers about one frame of the live camera.

    Inputs: bytes or path of the frame's picture; what is in hand; the classifier's id; whether
    each class is scored on its own.
    Outputs: the frame as picture in hand; the answer.
    """
    if frame is None:
        return gr.skip(), gr.skip()
    encoder = models.library(in_hand.model).encoder
    try:
        embedding = encoder.encode_images([_frame(models, frame, encoder.image_size)])
    except HeadsmithError as error:
        return in_hand, render.error_html(str(error))
    in_hand = PictureInHand(None, embedding, in_hand.model)
    return in_hand, answer(models, in_hand, chosen, independent)


def _frame(models: LoadedModels, frame: bytes | str, size: tuple[int, int]) -> Image.Image:
    if isinstance(frame, bytes):
        return models.open_picture(frame, for_size=size)
    return open_upload_as_picture(models, frame, size)


def answer(
    models: LoadedModels, in_hand: PictureInHand, chosen: str, independent: bool = False
) -> str:
    """What the chosen classifier says.  Never encodes the picture.

    Inputs: picture in hand; the classifier's id; whether each class is scored on its own.
    Outputs: HTML of the five.
    """
    if in_hand.embedding is None:
        return render.hint_html(NO_PICTURE)
    try:
        library = models.library(in_hand.model)
        head = library.find(chosen)
        if independent:
            prediction = predict_independently(library, head, in_hand.embedding)[0]
        else:
            prediction = head.predict(in_hand.embedding)[0]
    except HeadsmithError as error:
        return render.error_html(str(error))
    return render.answer_html(prediction)


def answer_all(models: LoadedModels, in_hand: PictureInHand) -> Iterator[str]:
    """What every label set says, set by set while heads are still being prepared.

    Inputs: picture in hand.  Outputs: HTML, one line a set.
    """
    if in_hand.embedding is None:
        yield no_answers()
        return
    sets = [load_label_list(list_id) for list_id in label_list_ids()]
    library, embedding = models.library(in_hand.model), in_hand.embedding

    def all_answers(build: bool) -> list[Any]:
        return [
            (
                labels,
                library.find(labels.id).predict(embedding, k=1)[0]
                if build or library.is_ready(labels.id)
                else None,
            )
            for labels in sets
        ]

    for labels in sets:
        if not library.is_ready(labels.id):
            yield render.all_sets_html(all_answers(build=False))
            library.find(labels.id)
    yield render.all_sets_html(all_answers(build=True))


def no_answers() -> str:
    """The cards before there is a picture: as tall as with answers, so nothing moves."""
    return render.all_sets_html([(load_label_list(key), None) for key in label_list_ids()])


def describe(chosen: str) -> str:
    """The line under the menu.  Inputs: the classifier's id.  Outputs: HTML."""
    if chosen not in label_list_ids():
        return render.set_info_html("A classifier of your own.", about_people=False)
    labels = load_label_list(chosen)
    return render.set_info_html(labels.description, labels.about_people)


def _choose(event: gr.EventData) -> str:
    return event.set


def build_picture_box() -> tuple[PictureInput, gr.Image, Any]:
    """The box for pictures: files, clipboard and camera, live camera, examples."""
    with gr.Tabs(elem_id="hs-sources"):
        with gr.Tab("Picture"):
            picture = PictureInput(
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                image_mode=None,
                label="Your picture",
                show_label=False,
                height=330,
                buttons=["fullscreen"],
                webcam_options=gr.WebcamOptions(mirror=False),
                elem_id="hs-picture",
                placeholder="Drop a picture here\n- or -\nclick to choose one",
            )
            examples = gr.Examples(
                [[path] for path in example_pictures()],
                picture,
                label="No picture at hand? Try one of these",
                elem_id="hs-examples",
            )
        with gr.Tab("Live camera"):
            gr.HTML("<p>Press Record, and the answer follows what the camera sees until Stop.</p>")
            camera = CameraInput(
                sources=["webcam"],
                streaming=True,
                label="Live camera",
                show_label=False,
                height=300,
                webcam_options=gr.WebcamOptions(mirror=False),
                elem_id="hs-camera",
            )
    return picture, camera, examples


def build_answer_box() -> tuple[gr.Dropdown, gr.HTML, gr.Checkbox, gr.HTML, gr.HTML]:
    """The menu of classifiers, the five answers, and beside them a second model's."""
    chosen = gr.Dropdown(
        classifier_choices([]),
        value=DEFAULT_CLASSIFIER,
        label="Label set",
        filterable=True,
        elem_id="hs-chosen",
    )
    info = gr.HTML(describe(DEFAULT_CLASSIFIER))
    with gr.Row(elem_id="hs-answers"):
        answer_box = gr.HTML(render.hint_html(NO_PICTURE), elem_id="hs-answer-box", min_width=180)
        second_answer = gr.HTML(visible=False, elem_id="hs-second", min_width=180)
    cosine = gr.Checkbox(label="Show cosine similarity", elem_id="hs-cosine-switch")
    cosine.change(None, cosine, None, js=SHOW_COSINE_JS)
    independent = gr.Checkbox(
        label="Score each class on its own",
        info="Each class is judged by itself, not against the others: "
        "several may be right, or none.",
        elem_id="hs-independent",
    )
    return chosen, info, independent, answer_box, second_answer


def build_all_sets_box() -> gr.HTML:
    """One card for each label set: the game of asking all of them about one picture."""
    gr.HTML(
        "<h2>All label sets at once</h2><p>What would this picture be as a cocktail, a "
        "profession, a cat? Click a card for its five.</p>",
        elem_classes="hs-heading",
    )
    return gr.HTML(no_answers(), js_on_load=SETS_JS, elem_id="hs-all-sets")


def connect_classify_tab(models: LoadedModels, tab: ClassifyTab, examples: Any) -> None:
    """What happens when a picture or a label set is chosen."""
    private: dict[str, Any] = {"api_visibility": "private"}
    on_model: dict[str, Any] = {"concurrency_id": "model", **private}
    answer_inputs = [tab.in_hand, tab.chosen, tab.independent]

    def answer_everything(event: Any) -> None:
        event.then(
            partial(answer, models), answer_inputs, tab.answer,
            show_progress="hidden", **on_model,
        ).then(
            partial(answer_all, models), tab.in_hand, tab.all_sets,
            show_progress="hidden", **on_model,
        )  # fmt: skip

    def encode(listener: Any) -> Any:
        return listener(
            partial(look, models), [tab.picture, tab.in_hand], [tab.in_hand, tab.picture],
            show_progress_on=tab.answer, trigger_mode="always_last", concurrency_id="picture",
            **private,
        )  # fmt: skip

    answer_everything(encode(tab.picture.input))
    answer_everything(encode(examples.load_input_event.then))
    answer_everything(tab.picture.clear(put_down, tab.in_hand, tab.in_hand, **private))

    tab.chosen.change(describe, tab.chosen, tab.info, show_progress="hidden", **private)
    gr.on(
        [tab.chosen.change, tab.independent.change],
        partial(answer, models), answer_inputs, tab.answer,
        show_progress="minimal", trigger_mode="always_last", **on_model,
    )  # fmt: skip
    tab.all_sets.click(_choose, None, tab.chosen, queue=False, show_progress="hidden", **private)
    tab.camera.stream(
        partial(watch, models), [tab.camera, *answer_inputs], [tab.in_hand, tab.answer],
        stream_every=CAMERA_SECONDS_BETWEEN_FRAMES, time_limit=CAMERA_MAX_SECONDS,
        # A place of its own kind: it keeps it as long as it runs, and computes rarely.
        show_progress="hidden", concurrency_id="camera", concurrency_limit=MAX_CAMERAS, **private,
    )  # fmt: skip
