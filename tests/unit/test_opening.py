"""Heads that somebody uploads: taken in where they fit, refused with the reason where not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from classifiers import Encoder, Head, build_zero_shot_head, export_head
from classifiers.errors import ClassNamesError, HeadError
from classifiers.library import HeadLibrary
from classifiers.opening import open_head
from classifiers.store import HeadStore


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
    with pytest.raises(HeadError, match="other weights"):
        open_head(library, saved(replace(words, fingerprint="0" * 16)))


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
    with pytest.raises((HeadError, ClassNamesError), match=says):
        open_head(library, _rewritten(saved(words), **changes))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 8 + b"{", b"hello there", b"8" * 99])
def test_what_is_no_head_is_said_so(library: HeadLibrary, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "head.safetensors"
    path.write_bytes(data)
    with pytest.raises(HeadError, match="not a head"):
        open_head(library, path)
