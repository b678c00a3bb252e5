"""What a running app answers to files and words it cannot use: one sentence, and it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gradio_client import Client
from odd_pictures import READABLE, UNREADABLE
from PIL import Image

Classify = Callable[..., dict[str, float]]
SentenceOf = Callable[[Callable[[], object]], str]


@pytest.fixture(scope="module")
def small(photo: Path) -> Image.Image:
    return Image.open(photo).convert("RGB").resize((160, 120))


@pytest.fixture
def create(client: Client) -> Callable[..., str]:
    def made(classes: object, template: object = "a photo of a {}", name: object = "") -> str:
        return client.predict(name, template, classes, api_name="/create_classifier")[0]

    return made


@pytest.mark.parametrize("name", READABLE)
def test_an_unusual_picture_is_answered(
    classify: Classify, small: Image.Image, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(READABLE[name](small))
    assert len(classify(path)) == 5


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_picture_is_answered_by_a_sentence(
    classify: Classify,
    sentence_of: SentenceOf,
    small: Image.Image,
    photo: Path,
    tmp_path: Path,
    name: str,
) -> None:
    make, word = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(make(small))
    assert word in sentence_of(lambda: classify(path))
    assert len(classify(photo)) == 5, "the next visitor is not served any more"


@pytest.mark.parametrize(
    ("classes", "template", "word"),
    [
        ("cat, dog", "a photo", "no place for the class"),
        ("cat, dog", "a photo of a {animal}", "no place for the class"),
        ("cat, dog", "", "template"),
        ("cat, dog", " \n \n", "template"),
        ("cat, dog", "{}" + "x" * 600, "characters"),
        ("cat, dog", "\n".join(f"{{}} {n}" for n in range(201)), "templates are too many"),
        ("", "a {}", "at least one class"),
        (" , ,\n\n,", "a {}", "at least one class"),
        ("\0\0", "a {}", "at least one class"),
        ("\n".join(f"class {n}" for n in range(10_001)), "a {}", "10,001 classes are too many"),
        ("\n".join(f"class {n}" for n in range(20_000)), "a {}", "20,000 classes are too many"),
        ("x" * 5_001, "a {}", "characters"),
        (None, "a {}", "at least one class"),
        ("cat, dog", None, "template"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_words_that_make_no_classifier_are_answered_by_a_sentence(
    create: Callable[..., str],
    sentence_of: SentenceOf,
    classes: str | None,
    template: str | None,
    word: str,
) -> None:
    assert word in sentence_of(lambda: create(classes, template))


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ('"=HYPERLINK(""http://x.invalid"",""y"")"', '=HYPERLINK("http://x.invalid","y")'),
        ("=1+1", "=1+1"),
        ("@SUM(A1:A9)", "@SUM(A1:A9)"),
        ("one\0two", "one two"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
        ("קָפֶה שחור", "קָפֶה שחור"),
        ("我的猫", "我的猫"),
        ("{} {class} NAME %s {0.__class__}", "{} {class} NAME %s {0.__class__}"),
        ("; rm -rf / #", "; rm -rf / #"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("word " * 399 + "word", "word " * 399 + "word"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_unusual_classes_are_plain_text(
    create: Callable[..., str],
    client: Client,
    classify: Classify,
    photo: Path,
    written: str,
    understood: str,
) -> None:
    made = create(f"{written}\nsomething else")
    assert set(classify(photo, made)) == {understood, "something else"}
    labels = Path(client.predict(made, "txt", api_name="/export_classifier"))
    assert labels.read_text(encoding="utf-8").splitlines()[0] == understood


def test_one_class_is_enough(create: Callable[..., str], classify: Classify, photo: Path) -> None:
    assert classify(photo, create("cat")) == {"cat": pytest.approx(1)}


def test_ten_thousand_classes_are_not_too_many(
    create: Callable[..., str], classify: Classify, photo: Path
) -> None:
    made = create("\n".join(f"class {n}" for n in range(10_000)))
    assert len(classify(photo, made)) == 5


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "x" * 100_000, "\0", "<b>", None])
def test_a_name_is_never_a_path(create: Callable[..., str], client: Client, name: str) -> None:
    made = create(f"cat, dog, name {str(name)[:9]!r}", name=name)
    file = Path(client.predict(made, "txt", api_name="/export_classifier"))
    assert file.suffix == ".txt" and len(file.name) < 80 and "passwd." in file.name + "passwd."
    assert "root:" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "classifier",
    ["nope", "", None, "../nouns", "nouns.csv", "0" * 32, "x" * 10_000, "\0", "<script>"],
    ids=lambda value: repr(value)[:20],
)
def test_an_unknown_classifier_is_answered_by_a_sentence(
    classify: Classify, client: Client, sentence_of: SentenceOf, photo: Path, classifier: str
) -> None:
    assert "no classifier" in sentence_of(lambda: classify(photo, classifier))
    assert "no classifier" in sentence_of(
        lambda: client.predict(classifier, "pt", api_name="/export_classifier")
    )


@pytest.mark.parametrize("suffix", ["exe", "", None, "../pt", "PT", "onnx\0"])
def test_an_unknown_format_is_answered_by_a_sentence(
    client: Client, sentence_of: SentenceOf, suffix: str
) -> None:
    sentence = sentence_of(lambda: client.predict("ages", suffix, api_name="/export_classifier"))
    assert "format" in sentence and "pt, ptl, zip" in sentence


def test_no_picture_is_answered_by_a_sentence(client: Client, sentence_of: SentenceOf) -> None:
    sentence = sentence_of(lambda: client.predict(None, "ages", api_name="/classify"))
    assert "picture" in sentence
