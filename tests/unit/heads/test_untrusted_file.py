"""Heads that somebody uploads: taken in where they fit, refused with the reason where not."""

from __future__ import annotations

import errno
import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from crafted_heads import crafted_heads
from safetensors import safe_open
from safetensors.numpy import save_file

from classifiers import Encoder, Head, build_zero_shot_head, export_head
from classifiers.errors import HeadError, LimitError
from classifiers.export.export import labels_txt, labels_xml, manifest
from classifiers.heads import untrusted_file
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore
from classifiers.heads.untrusted_file import open_head


@pytest.fixture
def library(encoder: Encoder, tmp_path: Path) -> HeadLibrary:
    return HeadLibrary(encoder, HeadStore(tmp_path / "heads"))


@pytest.fixture(scope="module")
def words(encoder: Encoder) -> Head:
    return build_zero_shot_head(encoder, ("cat", "dog", "ant"), ("a {}",), name="Pets")


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Head], Path]:
    def save(head: Head) -> Path:
        path = tmp_path / "uploaded.safetensors"
        head.save(path)
        return path

    return save


Saved = Callable[[Head], Path]


def other_weights(head: Head) -> np.ndarray:
    return np.ascontiguousarray(head.weights[::-1])


def test_a_head_of_words_comes_back_as_the_one_these_words_make(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    opened = open_head(library, saved(words))
    assert opened.id == words.id and opened.name == "Pets" and not opened.examples
    np.testing.assert_allclose(opened.weights, words.weights, atol=1e-6)


def test_other_weights_under_the_same_words_do_not_reach_who_types_them(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    opened = open_head(library, saved(replace(words, weights=other_weights(words))))
    assert opened.id != words.id
    np.testing.assert_array_equal(library.find(opened.id).weights, other_weights(words))
    typed = library.create("Mine", words.templates, words.classes)
    np.testing.assert_allclose(typed.weights, words.weights, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"logit_scale": 1.0}, {"logit_bias": 3.0}, {"activation": "sigmoid"}]
)
def test_other_probabilities_under_the_same_words_get_an_id_of_their_own(
    library: HeadLibrary, words: Head, saved: Saved, change: dict[str, Any]
) -> None:
    assert open_head(library, saved(replace(words, **change))).id != words.id


def test_a_trained_head_is_found_again_also_by_another_process(
    library: HeadLibrary, words: Head, saved: Saved, encoder: Encoder, tmp_path: Path
) -> None:
    bias = np.array([0.5, -1.0, 0.0], np.float32)
    trained = replace(words, kind="linear-probe", bias=bias, templates=(), name="Pneumonia")
    opened = open_head(library, saved(trained))
    again = HeadLibrary(encoder, HeadStore(tmp_path / "heads")).find(opened.id)
    np.testing.assert_array_equal(again.bias, bias)
    assert again.name == "Pneumonia" and again.kind == "linear-probe"
    assert open_head(library, saved(opened)).id == opened.id, "opened twice is the same"


def test_a_forged_digest_does_not_take_the_place_of_another_head(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    first = open_head(library, saved(replace(words, kind="prototype", templates=())))
    forged = replace(first, weights=other_weights(words))
    assert forged.id == first.id
    assert open_head(library, saved(forged)).id != first.id
    np.testing.assert_array_equal(library.find(first.id).weights, first.weights)


@pytest.mark.parametrize("suffix", ["pt", "ptl", "zip"])
def test_a_file_that_would_run_is_refused_with_the_reason(
    library: HeadLibrary, words: Head, tmp_path: Path, suffix: str
) -> None:
    path = export_head(words, tmp_path / f"head.{suffix}")
    disguised = path.with_name("head.safetensors")
    disguised.write_bytes(path.read_bytes())
    for file in (path, disguised):
        with pytest.raises(HeadError, match=r"runs the code in it.*\.safetensors"):
            open_head(library, file)


def test_a_pickle_is_refused_and_not_loaded(library: HeadLibrary, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it ran",))

    path = tmp_path / "head.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(HeadError, match="runs the code"):
        open_head(library, path)
    assert not (tmp_path / "it ran").exists()


def test_no_head_of_ours_is_taken_for_a_pickle(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    """A safetensors file begins with its header's length, whose first byte may be any."""
    firsts = set()
    for length in range(1, 257, 7):
        path = saved(replace(words, name="n" * length))
        firsts.add(path.read_bytes()[0])
        assert open_head(library, path).id == words.id
    assert 0x80 in firsts, "the case was not met"


def test_a_head_of_another_model_is_refused_with_both_names(
    library: HeadLibrary, words: Head, saved: Saved, encoder: Encoder
) -> None:
    with pytest.raises(HeadError, match=r"ViT-B-32/openai.*" + encoder.model_name):
        open_head(library, saved(replace(words, model="ViT-B-32/openai")))
    prototype = replace(words, fingerprint="0" * 16, kind="prototype", templates=())
    with pytest.raises(HeadError, match="other weights"):
        open_head(library, saved(prototype))


def test_a_head_of_older_weights_is_made_again_from_its_words_and_says_so(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    older = replace(words, fingerprint="0" * 16, weights=other_weights(words))
    said: list[str] = []
    opened = open_head(library, saved(older), notify=said.append)
    assert opened.id == words.id
    np.testing.assert_array_equal(opened.weights, words.weights)
    assert len(said) == 1 and "“Pets” was made with other weights" in said[0]
    assert open_head(library, saved(words), notify=said.append).id == words.id
    assert len(said) == 1, "nothing was made again"


def test_older_heads_are_counted_before_they_are_made_again(
    library: HeadLibrary, words: Head, saved: Saved
) -> None:
    def refuse(*_: int) -> None:
        raise LimitError("Enough for today.", 60)

    older = replace(words, fingerprint="0" * 16, classes=("x", "y", "z"))
    with pytest.raises(LimitError):
        open_head(library, saved(older), refuse)


def _rewritten(path: Path, **changes: Any) -> Path:
    """The file with another tensor or other metadata, which `Head` would not write."""
    with safe_open(str(path), framework="numpy") as file:
        metadata, weights = dict(file.metadata()), file.get_tensor("weights")
    weights = changes.pop("weights", lambda w: w)(weights)
    save_file({"weights": np.ascontiguousarray(weights)}, str(path), {**metadata, **changes})
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": lambda w: w * 2}, "instead of 1"),
        ({"weights": lambda w: w * np.float32("nan")}, "finite"),
        ({"weights": lambda w: w[:2]}, "weights must be"),
        ({"weights": lambda w: w[:, :-1]}, "numbers a class|instead of 1"),
        ({"weights": lambda w: w.astype(np.float64)}, "float32"),
        ({"classes": '["cat", "cat", "dog"]'}, "each its own"),
        ({"classes": '["cat", "", "dog"]'}, "names"),
        ({"classes": "[1, 2, 3]"}, "strings"),
        ({"classes": "{"}, "not a head"),
        ({"templates": "[3]"}, "texts"),
        ({"logit_scale": "inf"}, "finite"),
        ({"kind": "program"}, "not known"),
        ({"format_version": "99"}, "format version"),
    ],
)
def test_a_head_with_something_wrong_is_refused_with_the_reason(
    library: HeadLibrary, words: Head, saved: Saved, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(HeadError, match=says):
        open_head(library, _rewritten(saved(words), **changes))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 8 + b"{", b"hello there", b"8" * 99])
def test_what_is_no_head_is_said_so(library: HeadLibrary, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(data)
    with pytest.raises(HeadError, match="not a head"):
        open_head(library, path)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_head_file_holds_it_is_a_head_that_works_or_one_sentence(
    library: HeadLibrary, words: Head, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "uploaded.safetensors"
    outcomes: Counter[str] = Counter()
    for data in crafted_heads(words, 150, seed):
        path.write_bytes(data)
        for open_it in (Head.load, lambda path: open_head(library, path)):
            try:
                head = open_it(path)
            except HeadError as error:
                sentence = str(error)
                assert sentence.endswith(".") and sentence.isprintable(), sentence
                assert len(sentence) <= 300 and str(tmp_path) not in sentence, sentence
                sentence.encode()
                outcomes["refused"] += 1
            else:
                it_works(head, tmp_path)
                outcomes["taken"] += 1
    assert min(outcomes.values()) >= 20, f"one of both was hardly tested: {outcomes}"


def it_works(head: Head, tmp_path: Path) -> None:
    """Answers, is saved and loaded the same, and its labels can be read by anyone."""
    embeddings = np.random.default_rng(0).normal(size=(3, head.embed_dim))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        predictions = head.predict(np.vstack([embeddings, np.zeros_like(embeddings[:1])]), k=99)
    for guess in (guess for prediction in predictions for guess in prediction):
        assert 0.0 <= guess.probability <= 1.0 and -1.01 <= guess.similarity <= 1.01
        assert isinstance(guess.class_name, str)
    assert all(isinstance(prediction.abstains, bool) for prediction in predictions)

    head.save(tmp_path / "again.safetensors")
    again = Head.load(tmp_path / "again.safetensors")
    assert again.id == head.id and again.metadata() == head.metadata()

    items = ElementTree.fromstring(labels_xml(head).encode("utf-8")).findall("*/item")
    assert len(items) == len(head.classes) and not any(map(len, items))
    assert len(labels_txt(head).encode("utf-8").decode().splitlines()) == len(head.classes)
    written = json.dumps(manifest(head), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert json.loads(written)["n_classes"] == len(head.classes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"abstain_below": "{}"}, "abstain_below must be"),
        ({"abstain_below": '""'}, "abstain_below must be"),
        ({"abstain_below": '"0.2"'}, "abstain_below must be"),
        ({"abstain_below": "true"}, "abstain_below must be"),
        ({"abstain_below": "7"}, "from -1 to 1, not 7"),
        ({"logit_scale": "1e308"}, r"at most 10,000, not 1e\+308"),
        ({"logit_scale": "0"}, "above 0"),
        ({"logit_scale": "-20"}, "above 0"),
        ({"logit_bias": "-1e300"}, "logit_bias must be"),
        ({"image_size": "[1e999, 1]"}, r"image_size.*not \[inf, 1\]"),
        ({"image_size": "[32, 100000]"}, "image_size"),
        ({"image_size": "[true, 32]"}, "image_size"),
        ({"image_size": "0"}, "image_size"),
        ({"mean": "[0.5]"}, "mean must be three numbers, not 1"),
        ({"mean": '["a", 0, 0]'}, "mean must be finite numbers.*not a"),
        ({"std": "[1, 1, 0]"}, "std must be finite numbers"),
        ({"classes": r'["cat", "\ud800", "dog"]'}, "classes must be whole characters"),
        ({"templates": r'["\ud800 {}"]'}, "templates must be whole characters"),
        ({"classes": '"cat"'}, "classes must be a list"),
        ({"templates": "7" * 5_000}, "templates cannot be read as JSON: “7{59}…”"),
    ],
)
def test_a_head_that_would_break_later_is_refused_when_it_is_opened(
    library: HeadLibrary, words: Head, saved: Saved, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(HeadError, match=says):
        open_head(library, _rewritten(saved(words), **changes))


def test_a_file_is_measured_before_it_is_read(
    library: HeadLibrary, words: Head, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_path: Path) -> Head:
        raise AssertionError("it was read")

    monkeypatch.setattr(Head, "load", read)
    path = saved(words)
    for limit, says in [("MAX_HEADER_BYTES", "names and templates"), ("MAX_HEAD_FILE_BYTES", "MB")]:
        with monkeypatch.context() as small:
            small.setattr(untrusted_file, limit, 100)
            with pytest.raises(HeadError, match=says):
                open_head(library, path)


def test_other_tensors_than_a_head_s_are_refused(
    library: HeadLibrary, words: Head, tmp_path: Path
) -> None:
    path = tmp_path / "uploaded.safetensors"
    save_file({f"tensor {i}": words.weights for i in range(500)}, str(path), {"name": "x"})
    with pytest.raises(HeadError, match=r"tensors tensor 0, .*…; a head has weights"):
        open_head(library, path)


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(
    library: HeadLibrary, words: Head, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(words)

    def none_left(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_bytes", none_left)
    with pytest.raises(HeadError, match="cannot be read now") as caught:
        open_head(library, path)
    assert str(path.parent) not in str(caught.value)
