"""The lists that a script makes: made again they are the same, and they hold everyday things."""

import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from naming_norms import CHILDS_WORDS, IMAGENET_CLASSES, SNODGRASS_VANDERWART, names

FOLDER = Path(__file__).resolve().parents[3] / "label_lists"

# Animals, food, vehicles, furniture, tools, clothes, buildings, sports gear, nature.
EVERYDAY_THINGS = """
lion cheetah tower bus cat dog spider bathtub teapot guitar umbrella bicycle pizza volcano beach
goldfish horse bear elephant penguin shark bee apple banana bread cheese coffee cake car truck
train boat airplane bed chair table sofa lamp hammer knife ladder scissors shirt shoe hat coat
house church school castle lighthouse football tennis ski tree flower mountain river cloud moon
"""
# Names of nouns.csv that have no singular, or one that is another thing: "glasses" and "glass".
PLURALS = """
baked beans, baked goods, bathing trunks, bellows, blocks, boxer shorts, chopsticks,
Christmas lights, dentures, ear muffs, fireworks, fish and chips, French fries, glasses, handcuffs,
hash browns, headphones, high heels, jeans, lips, office supplies, overalls, pajamas, parallel bars,
rapids, road works, scrambled eggs, shears, shorts, stairs, suspenders, water wings, whiskers
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


def coco_names() -> list[str]:
    """The names of COCO's 80 classes, as torchvision ships them with its detectors."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    categories = FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    return [name for name in categories if name not in ("__background__", "N/A")]


@pytest.fixture(scope="module")
def measure_nouns() -> ModuleType:
    return importlib.import_module("training.measure_nouns")


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
    places = [classes.index(word) for word in ("dog", "house", "penguin", "teapot", "abacus")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "asked, count",
    [
        (lambda: names(SNODGRASS_VANDERWART), 260),
        (coco_names, 80),
        (lambda: names(CHILDS_WORDS), 389),
    ],
    ids=["naming norms", "COCO", "a child's words"],
)
def test_nouns_hold_what_people_name_on_pictures(
    measure_nouns: ModuleType, asked: Callable[[], list[str]], count: int
) -> None:
    assert len(asked()) == count
    missing = measure_nouns.missing_names(asked(), FOLDER / "nouns.csv")
    assert len(missing) <= 0.03 * count, f"a photo of these would get no name: {missing}"


def test_nouns_begin_with_words_that_a_child_knows(measure_nouns: ModuleType) -> None:
    known = {spelt for name in names(CHILDS_WORDS) for spelt in measure_nouns.spellings(name)}
    first = read_classes(FOLDER / "nouns.csv")[:100]
    late = [name for name in first if known.isdisjoint(measure_nouns.spellings(name))]
    assert len(late) <= 5, f"a child would not begin with these: {late}"


def test_nouns_have_a_right_word_for_nearly_every_class_of_imagenet(lexicon: Any) -> None:
    from training.captions import caption_of

    classes = set(read_classes(FOLDER / "nouns.csv"))
    captions = [caption_of(f"n{number}") for number in IMAGENET_CLASSES.split()]
    missing = [caption.name for caption in captions if classes.isdisjoint(caption.words)]
    assert len(captions) == 1000
    assert len(missing) <= 30, f"no answer about these could be right: {missing}"


@pytest.mark.parametrize("texts", [("cat, dog, cat",), ("sea horse", "sea horse=pony")])
def test_a_word_written_twice_is_refused(build_nouns: ModuleType, texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="twice"):
        build_nouns.written(*texts)


def test_a_name_of_two_written_classes_is_refused(build_nouns: ModuleType) -> None:
    with pytest.raises(ValueError, match="seahorse"):
        build_nouns.Written({"sea horse": []}, {"fish": ["seahorse"]})


def test_a_file_of_names_is_measured(
    measure_nouns: ModuleType, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    file = tmp_path / "names.csv"
    file.write_text("/m/0a,Human eye,\n/m/0b,Drill (Tool),\n/m/0c,Cherries,\n/m/0d,Qwxyz,\n")
    monkeypatch.setattr("sys.argv", ["measure_nouns.py", "--names", str(file)])
    measure_nouns.main()
    assert capsys.readouterr().out == "nouns holds 3 of 4 names (75.0 %).\nMissing: Qwxyz\n"


def test_nouns_are_singular(lexicon: Any) -> None:
    classes = read_classes(FOLDER / "nouns.csv")
    plurals = {name for name in classes if not lexicon.is_base_form(name)} - set(names(PLURALS))
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
