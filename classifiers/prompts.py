"""From templates to class prompts.  Strings only: knows nothing of models or files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from classifiers.errors import TemplateError

MAX_TEMPLATES = 200  # CLIP's largest published ensemble has 80
MAX_TEMPLATE_CHARACTERS = 500
MAX_PROMPTS = 500_000  # classes × templates; ImageNet with CLIP's 80 templates is 80,000

# `{class}` reads best, `{}` is open_clip's way, NAME is the 2021 app's.
_PLACEHOLDER = re.compile(r"\{\}|\{class\}|\bNAME\b")


def clean_text(text: str) -> str:
    """One line of ordinary text: NFC, control characters gone, white space single.

    Invisible formatting characters stay where scripts need them (zero-width joiners in
    emoji and Persian, direction marks in Hebrew and Arabic).
    """
    spaced = "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") else character
        for character in text
    )
    return " ".join(unicodedata.normalize("NFC", spaced).split())


def parse_templates(text: str) -> tuple[str, ...]:
    """The templates a person typed, one a line, each with `{}` as its only placeholder.

    Repeated lines count once, since a prompt that is averaged twice weighs double.

    Raises:
        TemplateError: there is none, one lacks a placeholder, or they are too many.
    """
    lines = [clean_text(line) for line in text.splitlines()]
    return check_templates([line for line in lines if line])


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """`templates` with every placeholder written `{}`, in order, without repeats.

    Raises:
        TemplateError: as `parse_templates`.
    """
    if not templates:
        raise TemplateError("Type a template, for example: This is a photo of a {}.")
    if len(templates) > MAX_TEMPLATES:
        raise TemplateError(
            f"{len(templates):,} templates are too many; keep the best {MAX_TEMPLATES}."
        )
    for template in templates:
        if len(template) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateError(
                f"The template “{template[:40]}…” has {len(template):,} characters; "
                f"{MAX_TEMPLATE_CHARACTERS} is the most."
            )
        if not _PLACEHOLDER.search(template):
            raise TemplateError(
                f"The template “{template}” has no place for the class; "
                "put {} where its name belongs."
            )
    return tuple(dict.fromkeys(_PLACEHOLDER.sub("{}", template) for template in templates))


def check_prompt_count(n_classes: int, n_templates: int) -> None:
    """Refuses an ensemble that would take hours.

    Raises:
        TemplateError: with the figures.
    """
    if n_classes * n_templates > MAX_PROMPTS:
        raise TemplateError(
            f"{n_classes:,} classes in {n_templates:,} templates make "
            f"{n_classes * n_templates:,} prompts; {MAX_PROMPTS:,} is the most, so use fewer "
            "of either."
        )


def fill_template(template: str, class_name: str) -> str:
    """The class prompt: `template` with `class_name` at every placeholder.

    Replaces text and formats nothing, so braces in a class name are harmless.
    """
    return template.replace("{}", class_name)


def class_prompts(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """All prompts, class by class: `len(classes) * len(templates)` strings."""
    return [fill_template(template, class_name) for class_name in classes for template in templates]
