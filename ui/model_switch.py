"""What follows a change of model: picture, own classifiers, answers and export, all anew."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.loaded_models import LoadedModels
from ui import model_menu
from ui.classify_tab import ClassifyTab, answer, answer_all
from ui.export_panel import summarise
from ui.messages import tell
from ui.model_menu import ModelMenu
from ui.picture import encode_upload
from ui.state import OwnClassifier, PictureInHand, classifier_choices

if TYPE_CHECKING:
    from classifiers.heads.library import HeadLibrary


def take_up(
    models: LoadedModels, model: str | None, own: Any, chosen: str, picture: str | None
) -> tuple[Any, Any, PictureInHand]:
    """Takes the visitor's classifiers to `model` and encodes the picture with it.

    The chosen classifier is built when it answers, the others when they are chosen.  Where
    that model cannot be had, the default one answers instead.

    Inputs: model's name, None for the default; own classifiers; chosen id; picture's path.
    Outputs: own classifiers; menu of classifiers; what is in hand.
    """
    try:
        library = models.library(model)
    except HeadsmithError as error:
        tell(error)
        if model is not None:
            return take_up(models, None, own, chosen, picture)
        return gr.skip(), gr.skip(), PictureInHand(picture)
    kept, moved = [], {}
    for classifier in OwnClassifier.list_from(own):
        try:
            new_id = classifier.id_with(library)
        except (HeadsmithError, UnicodeError) as error:
            if classifier.opened and isinstance(error, HeadsmithError):
                tell(error)
                kept.append(classifier)  # there again with its model, or once it is opened
            continue  # words that no head can be made of were not written by this page
        moved[classifier.id] = new_id
        kept.append(replace(classifier, id=new_id))
    menu = gr.update(choices=classifier_choices(kept), value=moved.get(chosen, chosen))
    in_hand = _seen(models, library, picture, model)
    return [classifier.to_browser() for classifier in kept], menu, in_hand


def _seen(
    models: LoadedModels, library: HeadLibrary, picture: str | None, model: str | None
) -> PictureInHand:
    if picture is None:
        return PictureInHand(model=model)
    try:
        embedding = encode_upload(models, library.encoder, picture)
    except HeadsmithError:  # an upload that has been tidied away since
        return PictureInHand(model=model)
    return PictureInHand(picture, embedding, model)


def switch(
    models: LoadedModels, wanted: str, own: Any, draft: Any, chosen: str, in_hand: PictureInHand
) -> tuple[Any, ...]:
    """Lets the wanted model answer from now on.  Where it cannot, the old one goes on.

    Inputs: its name; own classifiers; draft; chosen id; what is in hand.
    Outputs: own classifiers; menu of classifiers; what is in hand; draft; wanted model;
    the banner.
    """
    try:
        models.library(wanted)
    except HeadsmithError as error:
        tell(error)
        return *(gr.skip(),) * 5, *model_menu.poll(models, wanted, in_hand)
    kept, menu, now = take_up(models, wanted, own, chosen, in_hand.path)
    draft = draft if isinstance(draft, dict) else {}
    draft = {**draft, "model": wanted, "chosen": menu["value"]}
    return kept, menu, now, draft, *model_menu.put_away()


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
) -> Any:
    """Polling while a model is fetched, the switch, and the second opinion.

    Returns:
        The event of a switch, for what else should follow it.
    """
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    ask = partial(model_menu.ask_for, models)
    asked = [menu.wanted, *menu.banner]
    menu.use.click(ask, [menu.menu, tab.in_hand], asked, **quiet)
    menu.retry.click(ask, [menu.wanted, tab.in_hand], asked, **quiet)
    fetching = menu.fetch.click(ask, [menu.compare, tab.in_hand], asked, **quiet)
    menu.dismiss.click(model_menu.put_away, None, [menu.wanted, *menu.banner], queue=False, **quiet)
    menu.timer.tick(
        partial(model_menu.poll, models), [menu.wanted, tab.in_hand], menu.banner,
        queue=False, **quiet,
    )  # fmt: skip
    switched = menu.switch.click(
        partial(switch, models),
        [menu.wanted, own, draft, tab.chosen, tab.in_hand],
        [own, tab.chosen, tab.in_hand, draft, menu.wanted, *menu.banner],
        show_progress_on=tab.answer, concurrency_id="build", api_visibility="private",
    )  # fmt: skip
    answer_again(models, switched, menu, tab, export)
    again = partial(model_menu.compare, models)
    compared = [menu.compare, tab.in_hand, tab.chosen, own, tab.independent]
    second: dict[str, Any] = {"concurrency_id": "model", "trigger_mode": "always_last", **quiet}
    gr.on(
        [
            menu.compare.change, menu.news.change,
            tab.in_hand.change, tab.chosen.change, tab.independent.change,
        ],
        again, compared, [second_answer, menu.fetch], **second,
    )  # fmt: skip
    fetching.then(again, compared, [second_answer, menu.fetch], **second)
    return switched
