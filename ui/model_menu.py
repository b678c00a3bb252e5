"""Which model answers: the menu, downloads while one plays, the switch, a second opinion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from classifiers.errors import HeadsmithError
from classifiers.images import open_picture
from classifiers.loading import LoadedModels, ModelStatus
from classifiers.models import PREFERRED, ModelCard, curated_models
from ui import render
from ui.messages import tell
from ui.state import OwnClassifier, PictureInHand

NO_COMPARISON = ""
POLL_SECONDS = 1.0


@dataclass
class ModelMenu:
    """The components that other parts of the page listen to or fill."""

    box: gr.Accordion
    menu: gr.Dropdown
    compare: gr.Dropdown
    wanted: gr.State  # name of the model that is being fetched for this visitor
    switch: gr.Button
    status: gr.HTML
    timer: gr.Timer


def choices(models: LoadedModels) -> list[tuple[str, str]]:
    """`(shown name, name)` of the curated models, the default one first if it is another."""
    cards = curated_models()
    if models.default not in [card.name for card in cards]:
        cards.insert(0, models.card())
    return [(card.title, card.name) for card in cards]


def title(models: LoadedModels, model: str | None) -> str:
    """The head of the closed menu."""
    return f"Answering: {models.card(model).title}"


def describe(models: LoadedModels, name: str | None) -> str:
    """What is known of a model.  Inputs: its name.  Outputs: HTML."""
    if not name:
        return ""
    return card_html(models.card(name), models.status(name))


def card_html(card: ModelCard, status: ModelStatus) -> str:
    """The short of a model: what it is good for, figures, and whether it is here."""
    where = {"absent": "not on this machine yet", "failed": "not available"}
    facts = [
        f"{card.parameters / 1e6:,.0f} million parameters" if card.parameters else "",
        f"{card.embed_dim:,} numbers a picture" if card.embed_dim else "",
        f"{card.imagenet_zero_shot:.1f} % of ImageNet zero-shot" if card.imagenet_zero_shot else "",
        f"about {card.download_mb:,} MB to fetch"
        if card.download_mb and status.state == "absent"
        else "",
        f"languages: {card.languages}" if card.languages else "",
        f"licence: {card.licence}" if card.licence else "",
        where.get(status.state, "on this machine"),
    ]
    shown = escape(" · ".join(filter(None, facts)))
    return f'<div class="hs-info"><p>{escape(card.summary)}</p><p>{shown}</p></div>'


def table_html(models: LoadedModels) -> str:
    """All curated models with their figures."""
    rows = "".join(
        f"<tr><th>{escape(card.title)}</th><td>{escape(_good_for(card))}</td>"
        f"<td>{_millions(card.parameters)}</td><td>{_megabytes(card.download_mb)}</td>"
        f"<td>{card.embed_dim or ''}</td><td>{card.imagenet_zero_shot or '–'}</td>"
        f"<td>{escape(card.languages)}</td><td>{escape(card.licence)}</td>"
        f"<td>{_here(models.status(card.name))}</td></tr>"
        for card in curated_models()
    )
    heads = (
        "Model", "Good for", "Parameters", "Download", "Numbers a picture",
        "ImageNet zero-shot, %", "Languages", "Licence", "Here",
    )  # fmt: skip
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        '<div class="hs-table"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _good_for(card: ModelCard) -> str:
    return card.summary.removeprefix(f"{card.title}: ")


def _here(status: ModelStatus) -> str:
    return "" if status.state in ("absent", "failed", "downloading") else "yes"


def _millions(parameters: int | None) -> str:
    return f"{parameters / 1e6:,.0f} M" if parameters else ""


def _megabytes(download_mb: int | None) -> str:
    return f"{download_mb:,} MB" if download_mb else "none"


def status_html(models: LoadedModels, name: str) -> str:
    """How far a model is on its way, with a bar while it is fetched."""
    status, shown = models.status(name), escape(models.card(name).title)
    if status.state == "downloading":
        share = status.done_bytes / max(status.total_bytes, 1)
        done, total = status.done_bytes / 1e6, status.total_bytes / 1e6
        left = f", {_duration(status.seconds_left)} left" if status.seconds_left else ""
        return (
            f'<div class="hs-progress"><p>Fetching {shown}: {done:,.0f} of {total:,.0f} MB{left}. '
            "Go on playing meanwhile.</p>"
            f'<span class="hs-track"><span class="hs-bar" style="width:{share:.1%}"></span></span>'
            "</div>"
        )
    if status.state == "loading":
        return f'<div class="hs-progress"><p>Loading {shown} …</p></div>'
    if status.state == "ready":
        return f'<div class="hs-progress"><p>{shown} is ready.</p></div>'
    if status.state == "failed":
        return render.error_html(status.error)
    return ""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def ask_for(models: LoadedModels, name: str | None) -> tuple[Any, ...]:
    """Begins to fetch and load a model.

    Inputs: its name.  Outputs: wanted model; status; timer.
    """
    if not name:
        return gr.skip(), gr.skip(), gr.skip()
    models.preload(name)
    return name, status_html(models, name), gr.update(active=True)


def poll(models: LoadedModels, wanted: str, in_hand: PictureInHand) -> tuple[Any, ...]:
    """Looks how far the wanted model is.

    Inputs: its name; what is in hand.  Outputs: status; switch button; timer.
    """
    state = models.status(wanted).state if wanted else "absent"
    offer = state == "ready" and wanted != (in_hand.model or models.default)
    label = f"Switch to {models.card(wanted).title}" if offer else ""
    going_on = state in ("downloading", "loading")
    shown = status_html(models, wanted) if wanted and (offer or state != "ready") else ""
    return (
        shown,
        gr.update(value=label or "Switch", visible=offer),
        gr.update(active=going_on),
    )


def watch_background(models: LoadedModels) -> tuple[Any, ...]:
    """Shows the download that the start began.  Outputs: wanted model; timer."""
    begun = models.status(PREFERRED).state in ("downloading", "loading", "ready", "failed")
    if models.default == PREFERRED or not begun:
        return "", gr.update(active=False)
    return PREFERRED, gr.update(active=True)


def compare(
    models: LoadedModels, other: str | None, in_hand: PictureInHand, chosen: str, own: Any
) -> Any:
    """What another model says of the same picture with the same label set.

    Inputs: the other model's name; what is in hand; classifier's id; own classifiers.
    Outputs: HTML.
    """
    if not other:
        return gr.update(value="", visible=False)
    if in_hand.path is None:
        return gr.update(value=render.hint_html("Give me a picture to compare on."), visible=True)
    try:
        library = models.library(other)
        embedding = library.encoder.encode_images([open_picture(in_hand.path)])
        mine = {c.id: c for c in OwnClassifier.list_from(own)}
        if chosen in mine:  # made of words, so it can be made for any model
            words = mine[chosen]
            head = library.create(words.name, words.templates, words.classes)
        else:
            head = library.find(chosen)
    except HeadsmithError as error:
        tell(error)
        return gr.update(value=render.error_html(str(error)), visible=True)
    heading = f"<h3>{escape(models.card(other).title)}</h3>"
    return gr.update(value=heading + render.answer_html(head.predict(embedding)[0]), visible=True)


def build_model_menu(models: LoadedModels) -> ModelMenu:
    """The closed line that says who answers; open: menu, facts, fetching, comparison."""
    wanted = gr.State("")
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
                    label="Compare with", interactive=True,
                    info="A second model on the same picture and label set.",
                )  # fmt: skip
        with gr.Accordion("All models", open=False):
            gr.HTML(lambda: table_html(models))
    status = gr.HTML("", elem_id="hs-model-status")
    switch = gr.Button("Switch", variant="primary", visible=False, elem_id="hs-switch")

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    menu.change(partial(describe, models), menu, about, queue=False, **quiet)
    use.click(partial(ask_for, models), menu, [wanted, status, timer], **quiet)
    return ModelMenu(box, menu, other, wanted, switch, status, timer)
