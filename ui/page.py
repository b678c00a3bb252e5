"""The one page: picture, answer, side panel, new classifier.  Reads as its contents."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.export.cache import ExportCache
from classifiers.loaded_models import LoadedModels
from server.limits import LimitKeeper
from ui.classify_tab import (
    NAME_EXAMPLES_JS,
    ClassifyTab,
    build_all_sets_box,
    build_answer_box,
    build_picture_box,
    connect_classify_tab,
)
from ui.create_section import (
    DROP_CLASSES_JS,
    CreateSection,
    build_create_section,
    refresh_preview,
)
from ui.endpoints import build_endpoints
from ui.export_panel import build_export_panel
from ui.import_head import build_import_button
from ui.model_menu import ModelMenu, build_model_menu, watch_background
from ui.model_switch import answer_again, connect_model_menu, take_up
from ui.picture import restorable
from ui.picture_input import ANY_FILE_JS
from ui.state import (
    DEFAULT_CLASSIFIER,
    DEFAULT_TEMPLATE,
    OwnClassifier,
    PictureInHand,
    classifier_choices,
)

TITLE = "Headsmith"
UPLOADS_KEPT_SECONDS = 24 * 60 * 60

# What is typed or chosen is kept in the browser as it changes, without asking the server.
KEEP_JS = """(template, classes, name, chosen, picture, draft) =>
    ({...draft, template, classes, name, chosen, picture: picture ? picture.path : null})"""


def build_page(models: LoadedModels, keeper: LimitKeeper, exports: ExportCache) -> gr.Blocks:
    """The page as Gradio Blocks, not yet launched.

    Args:
        keeper: counts the classifiers that each visitor makes.
        exports: the files that visitors are given.
    """
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(UPLOADS_KEPT_SECONDS // 24, UPLOADS_KEPT_SECONDS),
        fill_width=True,
    ) as page:
        own = gr.BrowserState([], storage_key="headsmith-classifiers", secret="headsmith")
        draft = gr.BrowserState({}, storage_key="headsmith-draft", secret="headsmith")
        in_hand = gr.State(PictureInHand())

        gr.HTML(_header(), elem_id="hs-header")
        menu = build_model_menu(models)
        with gr.Row(elem_id="hs-desk"):
            with gr.Column(scale=4, min_width=320):
                picture, camera, examples = build_picture_box()
            with gr.Column(scale=4, min_width=320):
                chosen, info, independent, answer_box, second_answer = build_answer_box()
            with gr.Column(scale=3, min_width=280, elem_id="hs-side"):
                summary, suffix = build_export_panel(models, exports, own, chosen, in_hand)
        with gr.Column(elem_id="hs-all"):
            all_sets = build_all_sets_box()
        with gr.Column(elem_id="hs-new"):
            section = build_create_section(models, keeper, own, chosen, in_hand)
            with gr.Row():
                build_import_button(models, keeper, own, chosen, in_hand)
        build_endpoints(models, keeper, exports)

        tab = ClassifyTab(picture, camera, in_hand, chosen, info, independent, answer_box, all_sets)
        connect_classify_tab(models, tab, examples)
        switched = connect_model_menu(
            models, menu, tab, own, draft, second_answer, [summary, suffix]
        )
        refresh_preview(models, section, in_hand, switched)
        _keep_drafts(draft, section, tab)
        _restore_on_load(page, models, own, draft, section, tab, menu, [summary, suffix])
    return page


def _header() -> str:
    return (
        f'<div class="hs-header"><h1>{TITLE}</h1><p class="hs-tagline">Type some words, '
        "get an image classifier.</p></div>"
    )


def _keep_drafts(draft: gr.BrowserState, section: CreateSection, tab: ClassifyTab) -> None:
    kept: list[Any] = [section.template, section.classes, section.name, tab.chosen, tab.picture]
    gr.on(
        [component.change for component in kept],
        None, [*kept, draft], draft, js=KEEP_JS, api_visibility="private",
    )  # fmt: skip


def restore(models: LoadedModels, own: Any, draft: Any) -> tuple[Any, ...]:
    """Puts back what a reload would lose.  Fast: does not wait for the model.

    Inputs: own classifiers and draft, as the browser kept them.
    Outputs: template, classes, name; menu; picture, left alone where there is none to put
    back, since a visitor may be quicker with a new one.
    """
    draft = draft if isinstance(draft, dict) else {}
    kept = OwnClassifier.list_from(own)
    choices = classifier_choices(kept)
    wanted = draft.get("chosen")
    chosen = wanted if wanted in [key for _, key in choices] else DEFAULT_CLASSIFIER
    return (
        str(draft.get("template") or DEFAULT_TEMPLATE),
        str(draft.get("classes") or ""),
        str(draft.get("name") or ""),
        gr.update(choices=choices, value=chosen),
        restorable(draft.get("picture")) or gr.skip(),
    )


def _model_before(models: LoadedModels, draft: Any) -> str | None:
    """The model of before the reload, if it is on this machine; else None, the default."""
    model = draft.get("model") if isinstance(draft, dict) else None
    if not isinstance(model, str) or models.status(model).state not in ("local", "ready"):
        return None
    return model


def await_model(models: LoadedModels, draft: Any) -> None:
    """Returns once the model is loaded.  A step of its own: what a visitor chooses while it
    loads is then what `refresh` is given.

    Inputs: draft.
    """
    with suppress(HeadsmithError):  # `refresh` tells it
        models.library(_model_before(models, draft))


def refresh(
    models: LoadedModels,
    own: Any,
    draft: Any,
    chosen: str,
    picture: str | None,
    in_hand: PictureInHand | None = None,
) -> tuple[Any, Any, PictureInHand]:
    """Takes up the model of before the reload, and what was made.

    Inputs: own classifiers and draft; chosen id; path of the picture that was put back;
    what a visitor who was quicker has in hand.
    Outputs: own classifiers; menu; what is in hand.
    """
    path = in_hand.path if in_hand and in_hand.path else restorable(picture)
    return take_up(models, _model_before(models, draft), own, chosen, path)


def _restore_on_load(
    page: gr.Blocks,
    models: LoadedModels,
    own: gr.BrowserState,
    draft: gr.BrowserState,
    section: CreateSection,
    tab: ClassifyTab,
    menu: ModelMenu,
    export: list[Any],
) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    restored = (
        page.load(
            partial(restore, models),
            [own, draft],
            [section.template, section.classes, section.name, tab.chosen, tab.picture],
            queue=False,
            **quiet,
        )
        .then(
            partial(await_model, models),
            draft,
            None,
            **quiet,
        )
        .then(
            partial(refresh, models),
            [own, draft, tab.chosen, tab.picture, tab.in_hand],
            [own, tab.chosen, tab.in_hand],
            concurrency_id="build",
            **quiet,
        )
    )
    answer_again(models, restored, menu, tab, export)
    for js in (ANY_FILE_JS, DROP_CLASSES_JS, NAME_EXAMPLES_JS):
        page.load(None, None, None, js=js, api_visibility="private")
    page.load(
        partial(watch_background, models), None, [menu.wanted, menu.timer], queue=False, **quiet
    )
