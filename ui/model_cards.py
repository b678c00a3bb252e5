"""What there is to know of a model, as HTML: its card, the table of all, a download's bar."""

from __future__ import annotations

from html import escape

from classifiers.loaded_models import LoadedModels, ModelStatus
from classifiers.models.catalog import ModelCard, curated_models


def title_of(models: LoadedModels, model: str | None) -> str:
    """What a person calls a model; None is the default one."""
    return models.card(model).title


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
    good_for = _good_for(card)
    summary = escape(good_for[:1].upper() + good_for[1:])
    return f'<div class="hs-info"><p>{summary}</p><p>{shown}</p></div>'


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


def status_html(models: LoadedModels, name: str, answering: str | None = None) -> str:
    """How far a model is on its way, with a bar while it is fetched.

    Args:
        answering: the model that goes on answering where this one failed.
    """
    status, shown = models.status(name), escape(models.card(name).title)
    if status.state == "downloading" and status.total_bytes:
        share = status.done_bytes / status.total_bytes
        done, total = status.done_bytes / 1e6, status.total_bytes / 1e6
        left = f", {_duration(status.seconds_left)} left" if status.seconds_left else ""
        text = (
            f"<p>Fetching {shown}: {done:,.0f} of {total:,.0f} MB{left}. Go on playing "
            'meanwhile.</p><div class="hs-track" role="progressbar" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}" aria-label="Fetching {shown}">'
            f'<span class="hs-bar" style="width:{share:.1%}"></span></div>'
        )
    elif status.state == "downloading":
        text = f"<p>Asking the hub for {shown} …</p>"
    elif status.state == "loading":
        text = f"<p>Loading {shown} …</p>"
    elif status.state == "ready":
        text = f"<p>{shown} is ready.</p>"
    elif status.state == "failed":
        old = escape(title_of(models, answering))
        text = f"<p>{escape(status.error)} {old} goes on answering.</p>"
    else:
        return ""
    return f'<div class="hs-progress" role="status">{text}</div>'


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
