"""Every label list that ships: clean, large enough, and short enough for the model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest

from classifiers.words.label_lists import LABEL_LISTS_DIR, label_list_ids, load_label_list
from classifiers.words.prompts import class_prompts, clean_text

MINIMUM_CLASSES = {
    "nouns": 4000,
    "abstract_nouns": 500,
    "cat_breeds": 70,
    "dog_breeds": 150,
    "cocktails": 100,
    "nationalities": 190,
    "professions": 150,
    "foods": 200,
    "animals": 300,
    "famous_people": 500,
    "ages": 1,
}
ABOUT_PEOPLE = {"nationalities", "professions", "famous_people", "ages"}
BUILTIN_CONTEXT_TOKENS = 48

every_list = pytest.mark.parametrize("list_id", label_list_ids())


def key(name: str) -> str:
    """What two names share that a person would call the same."""
    return unicodedata.normalize("NFC", name.casefold())


def test_the_promised_lists_are_there() -> None:
    missing = MINIMUM_CLASSES.keys() - set(label_list_ids())
    assert not missing, f"the menu lacks {sorted(missing)}"


def test_every_file_of_classes_has_its_place_in_the_menu() -> None:
    assert {path.stem for path in LABEL_LISTS_DIR.glob("*.csv")} == set(label_list_ids())


@every_list
def test_the_list_has_as_many_classes_as_promised(list_id: str) -> None:
    assert len(load_label_list(list_id).classes) >= MINIMUM_CLASSES.get(list_id, 2)


@every_list
def test_no_class_stands_twice(list_id: str) -> None:
    counts = Counter(map(key, load_label_list(list_id).classes))
    twice = [name for name, n in counts.items() if n > 1]
    assert not twice, f"a person would see {twice} twice"


@every_list
def test_no_alias_repeats_a_class_or_another_alias(list_id: str) -> None:
    labels = load_label_list(list_id)
    counts = Counter(map(key, labels.classes))
    counts.update(key(alias) for aliases in labels.aliases.values() for alias in aliases)
    twice = [name for name, n in counts.items() if n > 1]
    assert not twice, f"{twice} would mean two classes"


@every_list
def test_names_have_no_stray_space_no_control_character_and_are_not_empty(list_id: str) -> None:
    labels = load_label_list(list_id)
    aliases = [alias for aliases in labels.aliases.values() for alias in aliases]
    for name in [*labels.classes, *aliases, *labels.templates, labels.name, labels.description]:
        assert name and name == clean_text(name), f"{name!r} is not clean"
        assert all(unicodedata.category(c) not in ("Cf", "Co", "Cn") for c in name), ascii(name)
    for alias in aliases:
        assert alias == alias.strip() and "|" not in alias


@every_list
def test_the_file_is_two_columns_of_utf_8_with_unix_line_ends(list_id: str) -> None:
    data = (LABEL_LISTS_DIR / f"{list_id}.csv").read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf"), "a byte-order mark would become part of a name"
    assert data.endswith(b"\n") and b"\r" not in data
    assert data.decode("utf-8").startswith("class,aliases\n")
    assert b"\n\n" not in data, "an empty line"


@every_list
def test_every_template_has_a_place_for_the_class(list_id: str) -> None:
    templates = load_label_list(list_id).templates
    assert templates and all("{}" in template for template in templates)


@every_list
def test_the_catalog_says_where_the_list_comes_from(list_id: str) -> None:
    labels = load_label_list(list_id)
    for entry in (labels.name, labels.description, labels.source, labels.licence, labels.method):
        assert entry.strip()
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", labels.date), labels.date
    assert "\n" not in labels.description, "one line, below the menu"


@every_list
def test_only_lists_about_people_carry_the_warning(list_id: str) -> None:
    assert load_label_list(list_id).about_people is (list_id in ABOUT_PEOPLE)


def test_menu_names_are_not_repeated() -> None:
    names = [load_label_list(list_id).name for list_id in label_list_ids()]
    assert len(set(map(key, names))) == len(names)


@every_list
def test_the_built_in_model_reads_every_prompt_to_its_end(list_id: str) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    labels = load_label_list(list_id)
    prompts = class_prompts(labels.classes, labels.templates)
    # Start and end token are two of the model's tokens.
    long = [p for p in prompts if len(tokenizer.encode(p)) + 2 > BUILTIN_CONTEXT_TOKENS]
    assert not long, f"would be cut: {long}"
