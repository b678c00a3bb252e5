"""Class names: the shipped label lists, and the names a person types or uploads.

A shipped list is one CSV (`class,aliases`) in `label_lists/` and one table in
`label_lists/catalog.toml`.  Knows nothing of models or of the web.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from classifiers.errors import ClassNamesError, LabelListError
from classifiers.words.prompts import brief, check_templates, clean_text, is_text

LABEL_LISTS_DIR = Path(__file__).resolve().parents[2] / "label_lists"

MAX_CLASSES = 10_000
MAX_CLASS_CHARACTERS = 5_000  # some 800 words; a model reads at most its first 77 tokens
MAX_CHARACTERS = 5_000_000  # of all classes together
MAX_FILE_BYTES = 5_000_000

# First rows of a CSV that name its column rather than a class.
_COLUMN_NAMES = {"class", "classes", "label", "labels", "name", "class name", "category"}


@dataclass(frozen=True)
class LabelList:
    """A shipped label list: its classes in order, and how to ask for them."""

    id: str
    name: str
    description: str
    classes: tuple[str, ...]
    aliases: dict[str, tuple[str, ...]]  # class → its other names
    templates: tuple[str, ...]
    about_people: bool  # the page then says that answers are associations, not facts
    source: str
    licence: str
    date: str
    method: str

    def summary(self) -> dict[str, Any]:
        """What a client chooses by, ready for JSON."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "n_classes": len(self.classes),
            "templates": list(self.templates),
        }


@dataclass(frozen=True)
class ClassNames:
    """Class names as a person gave them, made usable, with what was left out and why."""

    classes: tuple[str, ...]
    duplicates: tuple[str, ...] = ()
    n_empty: int = 0


@lru_cache(maxsize=1)
def _catalog() -> dict[str, dict[str, Any]]:
    with open(LABEL_LISTS_DIR / "catalog.toml", "rb") as file:
        return tomllib.load(file)


def label_list_ids() -> tuple[str, ...]:
    """Ids of the shipped lists, in the order of the menu."""
    return tuple(_catalog())


@cache
def load_label_list(list_id: str) -> LabelList:
    """The shipped list called `list_id`, for instance `"cat_breeds"`.

    Raises:
        LabelListError: there is no such list, or its file breaks the format.
    """
    if list_id not in _catalog():
        known = ", ".join(label_list_ids())
        raise LabelListError(f"There is no label set “{brief(list_id)}”; there are {known}.")
    path = LABEL_LISTS_DIR / f"{list_id}.csv"
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or set(rows[0]) != {"class", "aliases"}:
        raise LabelListError(f"{path.name} needs a header “class,aliases” and at least one row.")
    entry = dict(_catalog()[list_id])
    return LabelList(
        id=list_id,
        classes=tuple(row["class"] for row in rows),
        aliases={row["class"]: tuple(filter(None, row["aliases"].split("|"))) for row in rows},
        templates=check_templates(entry.pop("templates")),
        **entry,
    )


def parse_class_names(text: str) -> ClassNames:
    """Class names from typed text: one a line, or separated by commas, or both.

    A name that contains a comma is written in quotes: "Washington, D.C.".  Duplicates are
    found without regard to case.

    Raises:
        ClassNamesError: more than `MAX_CLASSES`, or one of over `MAX_CLASS_CHARACTERS`.
    """
    pieces = [clean_text(piece) for line in text.splitlines() for piece in _split_at_commas(line)]
    seen: dict[str, str] = {}
    duplicates = []
    for piece in filter(None, pieces):
        key = piece.casefold()
        if key in seen:
            duplicates.append(piece)
        else:
            seen[key] = piece
    classes = tuple(seen.values())
    n_empty = len(pieces) - len(classes) - len(duplicates)
    check_class_names(classes, required=False)
    return ClassNames(classes, tuple(duplicates), n_empty)


def check_class_names(classes: tuple[str, ...], required: bool = True) -> None:
    """Refuses class names that make no classifier.

    Raises:
        ClassNamesError: none (where one is `required`), too many, or one that is far too long
            or not text.
    """
    if required and not classes:
        raise ClassNamesError("Type at least one class, for example: cat, dog, goldfish.")
    if len(classes) > MAX_CLASSES:
        raise ClassNamesError(
            f"{len(classes):,} classes are too many; {MAX_CLASSES:,} is the most."
        )
    n_characters = sum(map(len, classes))
    if n_characters > MAX_CHARACTERS:
        raise ClassNamesError(
            f"The class names have {n_characters:,} characters together; "
            f"{MAX_CHARACTERS:,} is the most."
        )
    for name in classes:
        if not is_text(name):
            raise ClassNamesError(
                f"The class “{brief(name)}” has a damaged character; type it again."
            )
        if len(name) > MAX_CLASS_CHARACTERS:
            raise ClassNamesError(
                f"The class “{brief(name, 40)}” has {len(name):,} characters; "
                f"{MAX_CLASS_CHARACTERS:,} is the most."
            )


def _split_at_commas(line: str) -> list[str]:
    # The csv module reads quotes as people write them; a lone quote is ordinary text.
    line = line.replace("\0", " ")
    # It also refuses fields of over 131,072 characters; `check_class_names` says so better.
    if line.count('"') % 2 or len(line) > csv.field_size_limit():
        return line.split(",")
    return next(csv.reader([line], skipinitialspace=True), []) or [""]  # an empty line counts


def format_class_names(classes: tuple[str, ...]) -> str:
    """The text that `parse_class_names` reads back as `classes`: one a line."""
    return "\n".join(_quoted(name) if "," in name or name[0] == '"' else name for name in classes)


def join_class_names(names: Iterable[str]) -> str:
    """The text that `parse_class_names` reads as these names, whatever is in them."""
    return "\n".join(_quoted(clean_text(name)) for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def read_class_names_file(path: str | Path) -> ClassNames:
    """Class names from a text file (as typed text) or the first column of a CSV.

    Raises:
        ClassNamesError: not text, too large, of another kind, or as `parse_class_names`.
    """
    path = Path(path)
    if path.suffix.lower() not in (".txt", ".csv"):
        raise ClassNamesError(f"“{path.name}” is neither .txt nor .csv; save the names as one.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ClassNamesError(
            f"“{path.name}” is larger than {MAX_FILE_BYTES // 1_000_000} MB; "
            "it should hold class names only."
        )
    data = path.read_bytes()
    try:
        # Excel writes UTF-16 with a byte-order mark when asked for “Unicode text”.
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ClassNamesError(f"“{path.name}” is not text; save it as UTF-8.") from None
    if path.suffix.lower() == ".csv":
        text = _first_column(text)
    return parse_class_names(text)


def _first_column(text: str) -> str:
    # A spreadsheet's list separator is a semicolon where the comma is the decimal mark.
    first_line = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t;" if mark in first_line and "," not in first_line), ",")
    rows = csv.reader(io.StringIO(text.replace("\0", " ")), delimiter=delimiter)
    try:
        names = [row[0] if row else "" for row in rows]
    except csv.Error as error:
        raise ClassNamesError(f"The CSV cannot be read ({error}); save it again.") from None
    if names and clean_text(names[0]).casefold() in _COLUMN_NAMES:
        names = names[1:]
    return join_class_names(names)
