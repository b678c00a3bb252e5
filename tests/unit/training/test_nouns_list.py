"""The computed label lists: made again they are the same, and they hold everyday things."""

import csv
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "label_lists"

# Animals, food, vehicles, furniture, tools, clothes, buildings, sports gear, nature.
EVERYDAY_THINGS = """
lion cheetah tower bus cat dog spider bathtub teapot guitar umbrella bicycle pizza volcano beach
goldfish horse bear elephant penguin shark bee apple banana bread cheese coffee cake car truck
train boat airplane bed chair table sofa lamp hammer knife ladder scissors shirt shoe hat coat
house church school castle lighthouse football tennis ski tree flower mountain river cloud moon
"""
MOODS_AND_IDEAS = {
    "freedom",
    "melancholy",
    "jealousy",
    "chaos",
    "love",
    "nostalgia",
    "boredom",
    "joy",
}


def read_classes(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["class"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def build_nouns() -> ModuleType:
    pytest.importorskip("wordfreq", reason="the lists are computed with the package wordfreq")
    pytest.importorskip("nltk", reason="the lists are computed with the package nltk")
    return importlib.import_module("training.nouns_list")


@pytest.fixture(scope="module")
def lexicon(build_nouns: ModuleType) -> Any:
    from training.wordnet import WordNetMissingError

    try:
        return build_nouns.Lexicon()
    except WordNetMissingError as error:
        pytest.skip(str(error))


def test_the_lists_have_the_length_they_promise() -> None:
    assert len(read_classes(FOLDER / "nouns.csv")) == 4_000
    assert len(read_classes(FOLDER / "abstract_nouns.csv")) == 500


def test_nouns_hold_the_things_that_are_around_us() -> None:
    missing = set(EVERYDAY_THINGS.split()) - set(read_classes(FOLDER / "nouns.csv"))
    assert not missing, f"a photo of these would get no name: {sorted(missing)}"


def test_abstract_nouns_hold_moods_and_ideas() -> None:
    missing = MOODS_AND_IDEAS - set(read_classes(FOLDER / "abstract_nouns.csv"))
    assert not missing, f"nobody could ask a picture for these: {sorted(missing)}"


@pytest.mark.parametrize("name", ["nouns", "abstract_nouns"])
def test_a_name_stands_once_in_a_list_as_class_or_alias(name: str) -> None:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["class"] for row in rows]
    names += [alias for row in rows for alias in row["aliases"].split("|") if alias]
    assert len(names) == len(set(names))


def test_common_things_come_first() -> None:
    classes = read_classes(FOLDER / "nouns.csv")
    places = [classes.index(word) for word in ("house", "dog", "guitar", "penguin", "teapot")]
    assert places == sorted(places)


def test_nouns_are_singular(lexicon: Any) -> None:
    plurals = [w for w in read_classes(FOLDER / "nouns.csv") if not lexicon.is_base_form(w)]
    assert not plurals, f"these are plurals of other nouns: {plurals}"


def test_making_the_lists_again_gives_the_same_files(
    build_nouns: ModuleType, lexicon: Any, tmp_path: Path
) -> None:
    build_nouns.build(tmp_path, lexicon)
    for name in build_nouns.LISTS:
        made, shipped = tmp_path / f"{name}.csv", FOLDER / f"{name}.csv"
        assert made.read_bytes() == shipped.read_bytes(), (
            f"{name}.csv is not what it is made into; run python -m training.nouns_list"
        )
