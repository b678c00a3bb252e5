"""Which model answers: the menu, downloads while one plays, the switch, a second opinion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.heads.head import Prediction
from classifiers.heads.one_vs_rest import predict_independently
from classifiers.loaded_models import LoadedModels
from classifiers.models.catalog import PREFERRED, curated_models
from ui import render
from ui.messages import tell
from ui.model_cards import card_html, status_html, table_html, title_of
from ui.picture import encode_upload
from ui.state import OwnClassifier, PictureInHand

NO_COMPARISON = ""
POLL_SECONDS = 1.0


@dataclass
class ModelMenu:
    """The components that other parts of the page listen to or fill."""

    box: gr.Accordion
    menu: gr.Dropdown
    use: gr.Button
    compare: gr.Dropdown
    fetch: gr.Button  # for a model to compare with that is not here
    wanted: gr.State  # name of the model that is being fetched for this visitor
    news: gr.Textbox  # changes when that model becomes ready or fails
    status: gr.HTML
    switch: gr.Button
    retry: gr.Button
    dismiss: gr.Button
    timer: gr.Timer

    @property
    def banner(self) -> list[Any]:
        """What `poll` fills."""
        return [self.status, self.switch, self.retry, self.dismiss, self.news, self.timer]


def choices(models: LoadedModels) -> list[tuple[str, str]]:
    """`(shown name, name)` of the curated models, the default one first if it is another."""
    cards = curated_models()
    if models.default not in [card.name for card in cards]:
        cards.insert(0, models.card())
    return [(card.title, card.name) for card in cards]


def title(models: LoadedModels, model: str | None) -> str:
    """The head of the closed menu."""
    return f"Answering: {title_of(models, model)}"


def describe(models: LoadedModels, name: str | None) -> str:
    """What is known of a model.  Inputs: its name.  Outputs: HTML."""
    if not isinstance(name, str) or not name.strip():
        return ""
    return card_html(models.card(name), models.status(name))


def ask_for(models: LoadedModels, name: Any, in_hand: PictureInHand) -> tuple[Any, ...]:
    """Begins to fetch and load a model, because a person pressed a button for it.

    Inputs: its name; what is in hand.  Outputs: wanted model; the banner.
    """
    if not isinstance(name, str) or not name.strip():
        return (gr.skip(),) * 7
    name = name.strip()
    try:
        models.preload(name)
    except HeadsmithError as error:  # a name that is not offered here
        tell(error)
        return (gr.skip(),) * 7
    if name == (in_hand.model or models.default) and models.is_loaded(name):
        gr.Info(f"{escape(title_of(models, name))} answers already.")
        return "", *_no_banner()
    *banner, _ = poll(models, name, in_hand)
    return name, *banner, gr.update(active=True)


def poll(models: LoadedModels, wanted: str, in_hand: PictureInHand) -> tuple[Any, ...]:
    """Looks how far the wanted model is.

    Inputs: its name; what is in hand.
    Outputs: the banner: status, buttons to switch, to try again and to put it away; news;
    timer.
    """
    answering = in_hand.model or models.default
    state = models.status(wanted).state if wanted else "absent"
    if not wanted or (wanted == answering and state in ("ready", "local")):
        return _no_banner()
    offer, failed = state == "ready", state == "failed"
    return (
        status_html(models, wanted, answering),
        gr.update(value=f"Switch to {title_of(models, wanted)}", visible=offer),
        gr.update(visible=failed),
        gr.update(visible=offer or failed),
        f"{wanted} {state}" if offer or failed else "",
        gr.update(active=state in ("downloading", "loading")),
    )


def _no_banner() -> tuple[Any, ...]:
    hidden = gr.update(visible=False)
    return "", hidden, hidden, hidden, "", gr.update(active=False)


def put_away() -> tuple[Any, ...]:
    """Inputs: none.  Outputs: wanted model; the banner."""
    return "", *_no_banner()


def watch_background(models: LoadedModels) -> tuple[Any, ...]:
    """Shows the download that the start began.  Outputs: wanted model; timer."""
    begun = models.status(PREFERRED).state in ("downloading", "loading", "ready", "failed")
    if models.default == PREFERRED or not begun:
        return "", gr.update(active=False)
    return PREFERRED, gr.update(active=True)


def compare(
    models: LoadedModels,
    other: Any,
    in_hand: PictureInHand,
    chosen: str,
    own: Any,
    independent: bool = False,
) -> tuple[Any, Any]:
    """What another model says of the same picture with the same label set.

    Never fetches: a model that is not here is offered.

    Inputs: the other model's name; what is in hand; classifier's id; own classifiers;
    whether each class is scored on its own.
    Outputs: HTML; the button that fetches.
    """
    other = other.strip() if isinstance(other, str) else ""
    if not other:
        return gr.update(value="", visible=False), gr.update(visible=False)
    card, status = models.card(other), models.status(other)
    if not models.may_choose(other) or status.state == "failed":
        sentence = status.error or f"{card.title} cannot be chosen here."
        return _shown(render.error_html(sentence)), gr.update(visible=False)
    if status.state == "absent":
        size = f" (about {card.download_mb:,} MB)" if card.download_mb else ""
        hint = f"{card.title} is not on this machine yet{size}. Fetch it to compare."
        if models.offline:
            hint = f"{card.title} is not on this machine, and Headsmith was started offline."
        return _shown(render.hint_html(hint)), gr.update(visible=not models.offline)
    if status.state in ("downloading", "loading"):
        hint = f"{card.title} is on its way; its answer comes here by itself."
        return _shown(render.hint_html(hint)), gr.update(visible=False)
    if in_hand.path is None:
        hint = render.hint_html("Give me a picture to compare on.")
        return _shown(hint), gr.update(visible=False)
    try:
        prediction = _second_opinion(models, other, in_hand.path, chosen, own, independent)
    except HeadsmithError as error:
        return _shown(render.error_html(str(error))), gr.update(visible=False)
    heading = f"<h3>{escape(card.title)}</h3>"
    return _shown(heading + render.answer_html(prediction)), gr.update(visible=False)


def _second_opinion(
    models: LoadedModels, other: str, path: str, chosen: str, own: Any, independent: bool
) -> Prediction:
    library = models.library(other)
    embedding = encode_upload(models, library.encoder, path)
    mine = {c.id: c for c in OwnClassifier.list_from(own)}
    # What is made of words can be made for any model.
    head = library.find(mine[chosen].id_with(library) if chosen in mine else chosen)
    if independent:
        return predict_independently(library, head, embedding)[0]
    return head.predict(embedding)[0]


def _shown(html: str) -> Any:
    return gr.update(value=html, visible=True)


def build_model_menu(models: LoadedModels) -> ModelMenu:
    """The closed line that says who answers; open: menu, facts, fetching, comparison."""
    wanted = gr.State("")
    # No gr.State, whose changes go unnoticed where an event skips the queue.
    news = gr.Textbox("", visible="hidden", label="News of the model", interactive=False)
    timer = gr.Timer(POLL_SECONDS, active=False)
    with gr.Accordion(title(models, None), open=False, elem_id="hs-model") as box:
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                menu = gr.Dropdown(
                    choices(models), value=models.default, label="Model", interactive=True,
                    allow_custom_value=models.any_model,
                    info="Or type any name of open_clip, hf-hub:org/repo or local-dir:path."
                    if models.any_model else None,
                )  # fmt: skip
                about = gr.HTML(describe(models, models.default))
                use = gr.Button("Use this model", elem_id="hs-use-model")
            with gr.Column(scale=1, min_width=240):
                other = gr.Dropdown(
                    [("nothing", NO_COMPARISON), *choices(models)], value=NO_COMPARISON,
                    label="Compare with", interactive=True, allow_custom_value=models.any_model,
                    info="A second model on the same picture and label set.",
                )  # fmt: skip
                fetch = gr.Button("Fetch it", visible=False, elem_id="hs-fetch")
        with gr.Accordion("All models", open=False) as all_models:
            table = gr.HTML(table_html(models))
    status = gr.HTML("", elem_id="hs-model-status")
    with gr.Row(elem_id="hs-banner"):
        side: dict[str, Any] = {"visible": False, "scale": 0, "min_width": 130}
        long = {**side, "min_width": 300}  # it names the model
        switch = gr.Button("Switch", variant="primary", elem_id="hs-switch", **long)
        retry = gr.Button("Try again", variant="primary", elem_id="hs-retry", **side)
        dismiss = gr.Button("Not now", elem_id="hs-dismiss", **side)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    gr.on([menu.change, news.change], partial(describe, models), menu, about, queue=False, **quiet)
    all_models.expand(partial(table_html, models), None, table, queue=False, **quiet)
    return ModelMenu(
        box, menu, use, other, fetch, wanted, news, status, switch, retry, dismiss, timer
    )
