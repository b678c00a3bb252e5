"""What a person or a client typed for a new classifier → checked words.

The page, its endpoints and the phone's API take the same fields and refuse the same things.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifiers.words.label_lists import check_class_names, parse_class_names
from classifiers.words.prompts import clean_text, parse_templates

MAX_NAME_CHARACTERS = 80


@dataclass(frozen=True)
class TypedWords:
    """Enough to build a zero-shot head.

    Attributes:
        n_repeated: class names that were typed again and left out.
    """

    name: str
    templates: tuple[str, ...]
    classes: tuple[str, ...]
    n_repeated: int = 0


def read_typed_words(name: str, template: str, classes: str) -> TypedWords:
    """Checks the fields in the order a person meets them.

    Args:
        name: may be empty: then the first classes name the classifier.
        template: one a line.
        classes: one a line, or separated by commas.

    Raises:
        ClassNamesError, TemplateError: what is wrong with which words.
    """
    names = parse_class_names(classes)
    templates = parse_templates(template)
    check_class_names(names.classes)
    shown = clean_text(name)[:MAX_NAME_CHARACTERS] or default_name(names.classes)
    return TypedWords(shown, templates, names.classes, len(names.duplicates))


def default_name(classes: tuple[str, ...]) -> str:
    """`cat, dog, goldfish …`"""
    joined = ", ".join(classes[:3])
    short = joined if len(joined) <= 50 else joined[:49] + "…"
    return f"{short} …" if len(classes) > 3 else short
