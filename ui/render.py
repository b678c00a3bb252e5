"""Answers as HTML.  Everything that came from a person or a list is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from classifiers.heads.head import Prediction
from classifiers.words.label_lists import ClassNames, LabelList

PEOPLE_NOTE = "What you see is what the model associates with a picture, not a fact about a person."
_PREVIEWED_PROMPTS = 4
_NAMED_AT_MOST = 3


def percent(probability: float) -> str:
    """`62 %`, `4.2 %`, `< 0.1 %`: about two digits, and never a false zero."""
    if probability < 0.001:
        return "< 0.1 %"
    return (
        f"{probability:.0%}".replace("%", " %")
        if probability >= 0.0995
        else (f"{100 * probability:.1f} %")
    )


def answer_html(prediction: Prediction) -> str:
    """The five classes with bars, percentages and (shown on demand) cosine similarities."""
    rows = "".join(
        f'<li class="hs-guess"><span class="hs-name">{escape(guess.class_name)}</span>'
        f'<span class="hs-percent">{percent(guess.probability)}</span>'
        f'<span class="hs-cosine">cosine {guess.similarity:.3f}</span>'
        f'<span class="hs-track"><span class="hs-bar" style="width:{guess.probability:.1%}">'
        "</span></span></li>"
        for guess in prediction
    )
    doubt = (
        '<p class="hs-doubt">None of these, probably: the picture is not close to any class '
        "of this set.</p>"
        if prediction.abstains
        else ""
    )
    return f'<div class="hs-answer" aria-live="polite"><ol>{rows}</ol>{doubt}</div>'


def hint_html(text: str) -> str:
    """A sentence where an answer will be."""
    return f'<div class="hs-answer hs-hint"><p>{escape(text)}</p></div>'


def error_html(text: str) -> str:
    return f'<div class="hs-error" role="alert">{escape(text)}</div>'


def all_sets_html(answers: Sequence[tuple[LabelList, Prediction | None]]) -> str:
    """A card for what each label set says; a click chooses the set.  None: no answer yet."""
    rows = "".join(
        f'<button type="button" class="hs-set" data-set="{escape(labels.id)}" '
        f'title="Show the five of {escape(labels.name)}">'
        f'<span class="hs-set-name">{escape(labels.name)}</span>' + _best(prediction) + "</button>"
        for labels, prediction in answers
    )
    return f'<div class="hs-sets">{rows}</div>'


def _best(prediction: Prediction | None) -> str:
    if prediction is None:
        return '<span class="hs-percent">&nbsp;</span><span class="hs-name hs-waiting">…</span>'
    name, share = escape(prediction.best.class_name), percent(prediction.best.probability)
    return f'<span class="hs-percent">{share}</span><span class="hs-name">{name}</span>'


def set_info_html(description: str, about_people: bool) -> str:
    note = f'<p class="hs-people">{PEOPLE_NOTE}</p>' if about_people else ""
    return f'<div class="hs-info"><p>{escape(description)}</p>{note}</div>'


def preview_html(
    names: ClassNames,
    prompts: Sequence[str],
    cut: Sequence[str],
    warnings: Sequence[str] = (),
) -> str:
    """What Create would make: the first prompts, the count, and what is left out."""
    n_classes = len(names.classes)
    lines = "".join(f"<li>{escape(_short(prompt))}</li>" for prompt in prompts[:_PREVIEWED_PROMPTS])
    more = len(prompts) - _PREVIEWED_PROMPTS
    if more > 0:
        lines += f'<li class="hs-more">and {more:,} more</li>'
    notes = [f"{n_classes:,} {'class' if n_classes == 1 else 'classes'}"]
    if names.n_empty:
        notes.append(f"{names.n_empty:,} empty left out")
    if names.duplicates:
        notes.append(f"repeated, left out: {_some(names.duplicates)}")
    if cut:
        notes.append(f"longer than the model reads, cut: {_some(cut)}")
    if n_classes == 1:
        notes.append("one class always gets 100 %; add what else it could be")
    notes.extend(warnings)
    summary = escape(" · ".join(notes))
    return f'<div class="hs-preview"><ul>{lines}</ul><p>{summary}</p></div>'


def export_html(n_classes: int, embed_dim: int, model: str, n_bytes: int) -> str:
    """What the exported file will hold."""
    facts = [
        ("classes", f"{n_classes:,}"),
        ("numbers per class", f"{embed_dim:,}"),
        ("model", model),
        ("size", file_size(n_bytes)),
    ]
    rows = "".join(f"<dt>{label}</dt><dd>{escape(value)}</dd>" for label, value in facts)
    return f'<dl class="hs-facts">{rows}</dl>'


def file_size(n_bytes: int) -> str:
    """`about 6.1 MB`, in decimal units as browsers and phones show them."""
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if n_bytes >= size:
            value = n_bytes / size
            return f"about {value:.0f} {unit}" if value >= 10 else f"about {value:.1f} {unit}"
    return f"about {n_bytes} bytes"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(_short(name, 40) for name in names[:_NAMED_AT_MOST])
    rest = len(names) - _NAMED_AT_MOST
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
