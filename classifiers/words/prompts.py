"""From templates to class prompts.  Strings only: knows nothing of models or files."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Sequence

from classifiers.errors import TemplateError

MAX_TEMPLATES = 200  # CLIP's largest published ensemble has 80
MAX_TEMPLATE_CHARACTERS = 500
MAX_PROMPTS = 500_000  # classes × templates; ImageNet with CLIP's 80 templates is 80,000

# `{class}` reads best, `{}` is open_clip's way, NAME is the 2021 app's.
_PLACEHOLDER = re.compile(r"\{\}|\{class\}|\bNAME\b")


# Control characters, line and paragraph separators, halves of a surrogate pair, and the two
# noncharacters that XML cannot hold.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """One line of ordinary text: NFC, control characters gone, white space single.

    Invisible formatting characters stay where scripts need them (zero-width joiners in
    emoji and Persian, direction marks in Hebrew and Arabic).
    """
    return " ".join(unicodedata.normalize("NFC", _NOT_TEXT.sub(" ", text)).split())


def is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can hold; JSON's can be halves of a character."""
    return isinstance(value, str) and not _SURROGATE.search(value)


def brief(value: object, max_characters: int = 60) -> str:
    """`value` as a sentence can quote it: on one line, and cut where it is long."""
    text = clean_text((value if isinstance(value, str) else reprlib.repr(value))[:1_000])
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"


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
        TemplateError: as `parse_templates`, or one is not text.
    """
    if not templates:
        raise TemplateError("Type a template, for example: This is a photo of a {}.")
    if len(templates) > MAX_TEMPLATES:
        raise TemplateError(
            f"{len(templates):,} templates are too many; keep the best {MAX_TEMPLATES}."
        )
    for template in templates:
        if not is_text(template):
            raise TemplateError(
                f"The template “{brief(template)}” has a damaged character; type it again."
            )
        if len(template) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateError(
                f"The template “{brief(template, 40)}” has {len(template):,} characters; "
                f"{MAX_TEMPLATE_CHARACTERS} is the most."
            )
        if not _PLACEHOLDER.search(template):
            raise TemplateError(
                f"The template “{brief(template)}” has no place for the class; "
                "put {} where its name belongs."
            )
    return tuple(dict.fromkeys(_PLACEHOLDER.sub("{}", template) for template in templates))


def check_prompt_count(n_classes: int, n_templates: int, most: int = MAX_PROMPTS) -> None:
    """Refuses an ensemble that would take hours.

    Args:
        most: prompts; 0 means no limit.

    Raises:
        TemplateError: with the figures.
    """
    if most and n_classes * n_templates > most:
        raise TemplateError(
            f"{n_classes:,} classes in {n_templates:,} templates make "
            f"{n_classes * n_templates:,} prompts; {most:,} is the most, so use fewer "
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
