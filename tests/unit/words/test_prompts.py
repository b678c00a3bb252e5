"""Templates become class prompts, whatever was typed into them."""

from __future__ import annotations

import pytest

from classifiers.errors import TemplateError
from classifiers.words.prompts import (
    MAX_TEMPLATE_CHARACTERS,
    MAX_TEMPLATES,
    brief,
    check_templates,
    class_prompts,
    clean_text,
    fill_template,
    parse_templates,
)

FAMILY = "👩‍👩‍👧‍👦"  # four people joined by zero-width joiners


@pytest.mark.parametrize(
    ("typed", "template"),
    [
        ("a photo of a {}", "a photo of a {}"),
        ("a photo of a {class}", "a photo of a {}"),
        ("a photo of a NAME", "a photo of a {}"),
        ("a photo of a NAME.", "a photo of a {}."),
        ("NAME's portrait", "{}'s portrait"),
        ("{} beside {class} and NAME", "{} beside {} and {}"),
        ("  a   photo\tof {}  ", "a photo of {}"),
        ("{}", "{}"),
        ("صورة {}", "صورة {}"),
        ("{}的照片", "{}的照片"),
        ("{ } and {}", "{ } and {}"),
    ],
)
def test_every_way_to_write_the_placeholder_means_the_same(typed: str, template: str) -> None:
    assert parse_templates(typed) == (template,)


@pytest.mark.parametrize(
    "typed", ["a photo", "their NAMES", "FILENAME", "RENAMED", "name", "{clas}", "{0}", "{ }", "%s"]
)
def test_a_template_without_a_placeholder_is_quoted_and_the_remedy_named(typed: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_templates(typed)
    assert typed in str(caught.value) and "{}" in str(caught.value)


@pytest.mark.parametrize("typed", ["", "   ", "\n\n", "\0"])
def test_no_template_at_all_asks_for_one_with_an_example(typed: str) -> None:
    with pytest.raises(TemplateError, match="for example"):
        parse_templates(typed)


def test_one_bad_line_of_an_ensemble_is_the_one_that_is_named() -> None:
    with pytest.raises(TemplateError, match="“a drawing”"):
        parse_templates("a photo of a {}\na drawing\na {}")


def test_a_repeated_template_counts_once_however_it_is_written() -> None:
    typed = "a {}\na photo of a {}\na {class}\n\na  NAME\n"
    assert parse_templates(typed) == ("a {}", "a photo of a {}")


def test_too_many_templates_and_too_long_ones_are_refused_with_the_numbers() -> None:
    many = [f"photo {i} of a {{}}" for i in range(MAX_TEMPLATES + 1)]
    assert len(check_templates(many[:-1])) == MAX_TEMPLATES
    with pytest.raises(TemplateError, match=f"{MAX_TEMPLATES + 1}.*{MAX_TEMPLATES}"):
        check_templates(many)
    with pytest.raises(TemplateError, match=r"1,002.*500"):
        check_templates(["x" * 1_000 + "{}"])
    assert check_templates(["x" * (MAX_TEMPLATE_CHARACTERS - 2) + "{}"])


@pytest.mark.parametrize(
    "class_name", ["{}", "{class}", "NAME", "{0}", "{{x}}", "a % b", "%s", "\\1", "\\g<0>"]
)
def test_braces_and_percent_signs_in_a_class_name_are_ordinary_text(class_name: str) -> None:
    assert fill_template("a {} b", class_name) == f"a {class_name} b"
    assert fill_template("{} and {}", class_name) == f"{class_name} and {class_name}"


def test_prompts_stand_class_by_class() -> None:
    prompts = class_prompts(["cat", "dog"], ["a {}", "the {}"])
    assert prompts == ["a cat", "the cat", "a dog", "the dog"]
    assert class_prompts([], ["a {}"]) == []


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("a\0b", "a b"),
        ("\x07bell\x1b[31m", "bell [31m"),
        ("two\u2028lines", "two lines"),
        ("non\u00a0breaking", "non breaking"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("non\ufffecharacters\uffff", "non characters"),
        ("\x85\x9f", ""),
        ("cafe\u0301", "café"),
        ("\t\r\n", ""),
    ],
)
def test_text_is_cleaned_to_one_ordinary_line(typed: str, clean: str) -> None:
    assert clean_text(typed) == clean
    clean.encode("utf-8")  # would fail where a surrogate was left


def test_half_a_character_in_a_template_is_refused() -> None:
    with pytest.raises(TemplateError, match="damaged character") as caught:
        check_templates(["a {}", "\ud800 {}"])
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("cat", "cat"),
        ("two\nlines \ud800", "two lines"),
        ("x" * 61, "x" * 59 + "…"),
        ("x" * 5_000, "x" * 59 + "…"),
        (1e308, "1e+308"),
        ([1.0, None], "[1.0, None]"),
    ],
)
def test_a_value_is_quoted_briefly_and_on_one_line(value: object, quoted: str) -> None:
    assert brief(value) == quoted
    assert len(brief([["deep"] * 99] * 99)) <= 60


@pytest.mark.parametrize(
    "text",
    [FAMILY, "🏴‍☠️", "می‌خواهم", "שלום", "\u202bעברית\u202c", "猫", "<script>alert(1)</script>"],
)
def test_emoji_right_to_left_and_markup_stay_as_they_were_typed(text: str) -> None:
    assert clean_text(text) == text
