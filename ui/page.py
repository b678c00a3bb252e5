"""The one page: picture, answer, side panel, new classifier.  Reads as its contents."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.images import open_picture
from classifiers.loading import LoadedModels
from classifiers.models import find_model
from ui.classify_tab import (
    ClassifyTab,
    answer,
    answer_all,
    build_all_sets_box,
    build_answer_box,
    build_picture_box,
    connect_classify_tab,
)
from ui.create_section import CreateSection, build_create_section
from ui.endpoints import build_endpoints
from ui.export_panel import build_export_panel, summarise
from ui.messages import tell
from ui.picture import restorable
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
KEEP_JS = """(template, classes, name, chosen, picture) =>
    ({template, classes, name, chosen, picture: picture ? picture.path : null})"""


def build_page(models: LoadedModels) -> gr.Blocks:
    """The page as Gradio Blocks, not yet launched."""
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(UPLOADS_KEPT_SECONDS // 24, UPLOADS_KEPT_SECONDS),
        fill_width=True,
    ) as page:
        own = gr.BrowserState([], storage_key="headsmith-classifiers", secret="headsmith")
        draft = gr.BrowserState({}, storage_key="headsmith-draft", secret="headsmith")
        in_hand = gr.State(PictureInHand())

        gr.HTML(_header(models.default), elem_id="hs-header")
        with gr.Row(elem_id="hs-desk"):
            with gr.Column(scale=4, min_width=320):
                picture, camera, examples = build_picture_box()
            with gr.Column(scale=4, min_width=320):
                chosen, info, answer_box = build_answer_box()
            with gr.Column(scale=3, min_width=280, elem_id="hs-side"):
                summary = build_export_panel(models, own, chosen)
        with gr.Column(elem_id="hs-all"):
            all_sets = build_all_sets_box()
        with gr.Column(elem_id="hs-new"):
            section = build_create_section(models, own, chosen)
        build_endpoints(models)

        tab = ClassifyTab(picture, camera, in_hand, chosen, info, answer_box, all_sets)
        connect_classify_tab(models, tab, examples)
        _keep_drafts(draft, section, tab)
        _restore_on_load(page, models, own, draft, section, tab, summary)
    return page


def _header(model: str) -> str:
    try:
        card = find_model(model).card
        title, summary = card.title, card.summary
    except HeadsmithError as error:
        title, summary = model, str(error)
    about = f"<p>{escape(summary)}</p>" if summary else ""
    return (
        f'<div class="hs-header"><h1>{TITLE}</h1><p class="hs-tagline">Type some words, '
        "get an image classifier.</p>"
        f'<details class="hs-model"><summary>Answering: <b>{escape(title)}</b></summary>'
        f"{about}</details></div>"
    )


def _keep_drafts(draft: gr.BrowserState, section: CreateSection, tab: ClassifyTab) -> None:
    kept: list[Any] = [section.template, section.classes, section.name, tab.chosen, tab.picture]
    gr.on(
        [component.change for component in kept],
        None, kept, draft, js=KEEP_JS, api_visibility="private",
    )  # fmt: skip


def restore(models: LoadedModels, own: Any, draft: Any) -> tuple[Any, ...]:
    """Puts back what a reload would lose.  Fast: does not wait for the model.

    Inputs: own classifiers and draft, as the browser kept them.
    Outputs: template, classes, name; menu; picture.
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
        restorable(draft.get("picture")),
    )


def refresh(
    models: LoadedModels, own: Any, chosen: str, picture: str | None
) -> tuple[Any, Any, PictureInHand]:
    """Builds own classifiers again where this model or server lacks them; encodes the picture.

    Inputs: own classifiers; chosen id; path of the picture that was put back.
    Outputs: own classifiers; menu; the picture in hand.
    """
    try:
        library = models.library()
    except HeadsmithError as error:
        tell(error)
        return gr.skip(), gr.skip(), PictureInHand()
    kept, moved = [], {}
    for classifier in OwnClassifier.list_from(own):
        try:
            head = library.create(classifier.name, classifier.templates, classifier.classes)
        except (HeadsmithError, UnicodeError):
            continue  # words that no head can be made of were not written by this page
        moved[classifier.id] = head.id
        kept.append(OwnClassifier(head.id, classifier.name, head.templates, head.classes))
    in_hand = PictureInHand()
    path = restorable(picture)
    if path is not None:
        try:
            embedding = library.encoder.encode_images([open_picture(path)])
            in_hand = PictureInHand(path, embedding, library.encoder.model_name)
        except HeadsmithError as error:  # a browser may send the path of any upload
            tell(error)
    menu = gr.update(choices=classifier_choices(kept), value=moved.get(chosen, chosen))
    return [classifier.to_browser() for classifier in kept], menu, in_hand


def _restore_on_load(
    page: gr.Blocks,
    models: LoadedModels,
    own: gr.BrowserState,
    draft: gr.BrowserState,
    section: CreateSection,
    tab: ClassifyTab,
    summary: gr.HTML,
) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(
        partial(restore, models),
        [own, draft],
        [section.template, section.classes, section.name, tab.chosen, tab.picture],
        queue=False,
        **quiet,
    ).then(
        partial(refresh, models),
        [own, tab.chosen, tab.picture],
        [own, tab.chosen, tab.in_hand],
        concurrency_id="build",
        **quiet,
    ).then(
        partial(answer, models), [tab.in_hand, tab.chosen], tab.answer,
        concurrency_id="model", **quiet,
    ).then(
        partial(_summarise_default, models), tab.chosen, summary, **quiet,
    ).then(
        partial(answer_all, models), tab.in_hand, tab.all_sets, concurrency_id="model", **quiet,
    )  # fmt: skip


def _summarise_default(models: LoadedModels, chosen: str) -> str:
    return summarise(models, chosen, "pt")
