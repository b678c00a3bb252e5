"""What follows a change of model: picture, own classifiers, answers and export, all anew."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.images import open_picture
from classifiers.loading import LoadedModels
from ui import model_menu
from ui.classify_tab import ClassifyTab, answer, answer_all
from ui.export_panel import summarise
from ui.messages import tell
from ui.model_menu import ModelMenu
from ui.state import OwnClassifier, PictureInHand, classifier_choices


def take_up(
    models: LoadedModels, model: str | None, own: Any, chosen: str, picture: str | None
) -> tuple[Any, Any, PictureInHand]:
    """Builds the visitor's classifiers for `model` and encodes the picture with it.

    Inputs: model's name, None for the default; own classifiers; chosen id; picture's path.
    Outputs: own classifiers; menu of classifiers; what is in hand.
    """
    in_hand = PictureInHand(picture, model=model)
    try:
        library = models.library(model)
    except HeadsmithError as error:
        tell(error)
        return gr.skip(), gr.skip(), in_hand
    kept, moved = [], {}
    for classifier in OwnClassifier.list_from(own):
        try:
            head = library.create(classifier.name, classifier.templates, classifier.classes)
        except HeadsmithError:
            continue  # words that no head can be made of were not written by this page
        moved[classifier.id] = head.id
        kept.append(OwnClassifier(head.id, classifier.name, head.templates, head.classes))
    if picture is not None:  # it was read before, so it can be read again
        in_hand.embedding = library.encoder.encode_images([open_picture(picture)])
    menu = gr.update(choices=classifier_choices(kept), value=moved.get(chosen, chosen))
    return [classifier.to_browser() for classifier in kept], menu, in_hand


def switch(
    models: LoadedModels, wanted: str, own: Any, draft: Any, chosen: str, in_hand: PictureInHand
) -> tuple[Any, ...]:
    """Lets the wanted model answer from now on.

    Inputs: its name; own classifiers; draft; chosen id; what is in hand.
    Outputs: own classifiers; menu of classifiers; what is in hand; draft; switch button;
    status.
    """
    kept, menu, now = take_up(models, wanted, own, chosen, in_hand.path)
    draft = {**draft, "model": wanted} if isinstance(draft, dict) else {"model": wanted}
    return kept, menu, now, draft, gr.update(visible=False), ""


def _show_model(models: LoadedModels, in_hand: PictureInHand) -> tuple[Any, Any]:
    """Outputs: the head of the model menu; the menu."""
    name = in_hand.model or models.default
    return gr.update(label=model_menu.title(models, name)), gr.update(value=name)


def answer_again(
    models: LoadedModels, event: Any, menu: ModelMenu, tab: ClassifyTab, export: list[Any]
) -> None:
    """After `event`: everything that shows what the model says, shown anew."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    summary, suffix = export
    event.then(
        partial(answer, models), [tab.in_hand, tab.chosen, tab.independent], tab.answer,
        concurrency_id="model", **quiet,
    ).then(
        partial(_show_model, models), tab.in_hand, [menu.box, menu.menu], **quiet,
    ).then(
        partial(summarise, models), [tab.chosen, suffix, tab.in_hand], summary, **quiet,
    ).then(
        partial(answer_all, models), tab.in_hand, tab.all_sets, concurrency_id="model", **quiet,
    )  # fmt: skip


def connect_model_menu(
    models: LoadedModels,
    menu: ModelMenu,
    tab: ClassifyTab,
    own: gr.BrowserState,
    draft: gr.BrowserState,
    second_answer: gr.HTML,
    export: list[Any],
) -> None:
    """Polling while a model is fetched, the switch, and the second opinion."""
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    menu.timer.tick(
        partial(model_menu.poll, models), [menu.wanted, tab.in_hand],
        [menu.status, menu.switch, menu.timer], queue=False, **quiet,
    )  # fmt: skip
    switched = menu.switch.click(
        partial(switch, models),
        [menu.wanted, own, draft, tab.chosen, tab.in_hand],
        [own, tab.chosen, tab.in_hand, draft, menu.switch, menu.status],
        show_progress_on=tab.answer, concurrency_id="build", api_visibility="private",
    )  # fmt: skip
    answer_again(models, switched, menu, tab, export)
    gr.on(
        [menu.compare.change, tab.in_hand.change, tab.chosen.change],
        partial(model_menu.compare, models),
        [menu.compare, tab.in_hand, tab.chosen, own], second_answer,
        trigger_mode="always_last", concurrency_id="model", **quiet,
    )  # fmt: skip
