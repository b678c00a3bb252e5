"""A head answers, keeps its identity, and survives whatever file it is loaded from."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

from classifiers.errors import HeadError
from classifiers.heads.head import Head, head_id

MakeHead = Callable[..., Head]


def test_the_id_is_32_hex_digits_and_known_before_the_head_is_built(make_head: MakeHead) -> None:
    head = make_head()
    assert len(head.id) == 32 and set(head.id) <= set("0123456789abcdef")
    built_from = (head.model, head.fingerprint, "zero-shot", head.classes, head.templates)
    assert head.id == head_id(*built_from)


def test_the_same_words_with_the_same_model_have_one_id_whatever_the_name(
    make_head: MakeHead,
) -> None:
    assert make_head(name="Cats").id == make_head(name="猫").id


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "ViT-B-32/openai"},
        {"fingerprint": "fedcba9876543210"},
        {"classes": ("class 1", "class 0")},  # order is index order on the phone
        {"classes": ("Class 0", "class 1")},
        {"templates": ("a drawing of a {}",)},
        {"templates": ("a photo of a {}", "a {}")},
        {"kind": "prototype"},
        {"examples": "abc"},
    ],
)
def test_whatever_changes_the_numbers_changes_the_id(
    changes: dict[str, Any], make_head: MakeHead
) -> None:
    assert make_head(2, **changes).id != make_head(2).id


def test_two_classes_are_not_taken_for_one_that_contains_a_separator() -> None:
    ids = {
        head_id("m", "f", "zero-shot", classes, templates)
        for classes, templates in [
            (["a", "b"], ["{}"]),
            (["a,b"], ["{}"]),
            (['a","b'], ["{}"]),
            (["ab"], ["{}"]),
            (["a"], ["b", "{}"]),
            (["a", "b", "{}"], []),
        ]
    }
    assert len(ids) == 6


# -------------------------------------------------------------------------- predictions


def test_probabilities_of_all_classes_sum_to_one_and_stand_best_first(
    make_head: MakeHead, embeddings: np.ndarray
) -> None:
    for prediction in make_head().predict(embeddings, k=7):
        probabilities = [guess.probability for guess in prediction]
        # They are summed in double precision.
        assert sum(probabilities) == pytest.approx(1.0, abs=1e-12)
        assert probabilities == sorted(probabilities, reverse=True)


def test_a_prediction_is_the_softmax_of_scaled_cosines(
    make_head: MakeHead, embeddings: np.ndarray
) -> None:
    head = make_head()
    x = embeddings.astype(np.float64)
    cosines = x @ head.weights.T / np.linalg.norm(x, axis=1, keepdims=True)
    powers = np.exp(20.0 * cosines)
    expected = powers / powers.sum(axis=1, keepdims=True)
    for row, prediction in enumerate(head.predict(embeddings, k=7)):
        for guess in prediction:
            column = head.classes.index(guess.class_name)
            # float32 cosines are off by 1e-7, times the scale of 20.
            assert guess.probability == pytest.approx(expected[row, column], abs=1e-5)
            assert guess.similarity == pytest.approx(cosines[row, column], abs=1e-6)


def test_the_length_of_an_embedding_does_not_matter(
    make_head: MakeHead, embeddings: np.ndarray
) -> None:
    head = make_head()
    for one, other in zip(head.predict(embeddings), head.predict(embeddings * 50), strict=True):
        assert [g.class_name for g in one] == [g.class_name for g in other]
        assert one.best.probability == pytest.approx(other.best.probability, abs=1e-5)


def test_an_embedding_of_zeros_is_answered_and_not_divided_by(make_head: MakeHead) -> None:
    (prediction,) = make_head(4).predict(np.zeros((1, 16), np.float32))
    assert [guess.probability for guess in prediction] == pytest.approx([0.25] * 4)


def test_sigmoid_probabilities_stand_each_on_its_own(
    make_head: MakeHead, embeddings: np.ndarray
) -> None:
    head = make_head(activation="sigmoid", logit_bias=-1.0)
    fewer = replace(head, classes=head.classes[:1], weights=head.weights[:1])
    alone = [prediction.best.probability for prediction in fewer.predict(embeddings)]
    among = [
        next(g.probability for g in prediction if g.class_name == "class 0")
        for prediction in head.predict(embeddings, k=7)
    ]
    # float32 products of another shape round differently, by 1e-7 times the scale.
    np.testing.assert_allclose(alone, among, atol=1e-5)
    sums = [sum(g.probability for g in p) for p in head.predict(embeddings, k=7)]
    assert max(abs(total - 1.0) for total in sums) > 0.1


def test_sure_answers_do_not_overflow(make_head: MakeHead, embeddings: np.ndarray) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for activation in ("softmax", "sigmoid"):
            head = make_head(activation=activation, logit_scale=1e4, logit_bias=-1e3)
            for prediction in head.predict(embeddings, k=7):
                assert all(0.0 <= guess.probability <= 1.0 for guess in prediction)


def test_the_bias_of_a_linear_probe_counts(make_head: MakeHead, embeddings: np.ndarray) -> None:
    bias = np.zeros(7, np.float32)
    bias[3] = 1_000.0
    head = make_head(kind="linear-probe", bias=bias)
    assert {p.best.class_name for p in head.predict(embeddings)} == {"class 3"}
    assert abs(head.predict(embeddings)[0].best.similarity) <= 1.0, "a cosine has no bias"


def test_equal_classes_keep_their_order(make_head: MakeHead) -> None:
    weights = np.tile(np.eye(16, dtype=np.float32)[0], (7, 1))
    (prediction,) = make_head(weights=weights).predict(np.ones((1, 16), np.float32), k=7)
    assert [guess.class_name for guess in prediction] == [f"class {i}" for i in range(7)]


@pytest.mark.parametrize(
    ("n_classes", "k", "expected"), [(1, 5, 1), (3, 5, 3), (7, 5, 5), (7, 99, 7)]
)
def test_there_are_as_many_guesses_as_asked_for_or_as_classes(
    n_classes: int, k: int, expected: int, make_head: MakeHead, embeddings: np.ndarray
) -> None:
    predictions = make_head(n_classes).predict(embeddings, k=k)
    assert len(predictions) == len(embeddings)
    assert {len(prediction) for prediction in predictions} == {expected}


def test_no_pictures_give_no_predictions(make_head: MakeHead) -> None:
    assert make_head().predict(np.empty((0, 16), np.float32)) == []


def test_a_single_class_is_certain_by_softmax(make_head: MakeHead, embeddings: np.ndarray) -> None:
    assert make_head(1).predict(embeddings)[0].best.probability == 1.0


def test_it_abstains_below_the_similarity_that_it_was_told(
    make_head: MakeHead, embeddings: np.ndarray
) -> None:
    best = make_head().predict(embeddings)[0].best.similarity
    for threshold, abstains in [(None, False), (best - 1e-3, False), (best + 1e-3, True)]:
        prediction = make_head(abstain_below=threshold).predict(embeddings)[0]
        assert prediction.abstains is abstains
        assert prediction, "the guesses are still there to be looked at"


@pytest.mark.parametrize("shape", [(16,), (2, 15), (1, 2, 16)])
def test_embeddings_of_another_model_are_refused_by_their_shape(
    shape: tuple[int, ...], make_head: MakeHead
) -> None:
    with pytest.raises(ValueError, match="16"):
        make_head().predict(np.ones(shape, np.float32))


def test_nobody_can_change_a_head_by_accident(make_head: MakeHead) -> None:
    head = make_head(bias=np.zeros(7, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        head.weights[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        head.bias[0] = 1.0  # type: ignore[index]
    with pytest.raises(AttributeError):
        head.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ()},
        {"classes": ("one", "two")},
        {"classes": (1, 2, 3, 4, 5, 6, 7)},
        {"weights": np.full((7, 16), np.nan, np.float32)},
        {"weights": np.ones((7, 16), np.float64)},
        {"weights": np.ones(7, np.float32)},
        {"bias": np.zeros(6, np.float32)},
        {"bias": np.full(7, np.inf, np.float32)},
        {"kind": "random"},
        {"activation": "relu"},
        {"logit_scale": float("nan")},
        {"logit_bias": float("inf")},
        {"logit_scale": 1e308},
        {"logit_scale": -1.0},
        {"logit_scale": True},
        {"logit_bias": 10**400},
        {"bias": np.full(7, 3e38, np.float32)},
        {"abstain_below": {}},
        {"abstain_below": "0.2"},
        {"image_size": (0, 32)},
        {"image_size": (32, 1e9)},
        {"mean": (0.5, 0.5)},
        {"std": (0.0, 1.0, 1.0)},
        {"std": ("a", "b", "c")},
        {"name": "\ud800"},
        {"templates": ("\ud800 {}",)},
        {"classes": ("\ud800", *"abcdef")},
        {"weights": np.ones((7, 0), np.float32)},
    ],
)
def test_a_head_that_could_not_answer_cannot_be_made(
    changes: dict[str, Any], make_head: MakeHead
) -> None:
    with pytest.raises(ValueError):
        make_head(**changes)


# -------------------------------------------------------------------------------- files

ODD_CLASSES = ("Côte d'Ivoire", "猫", "👩‍👩‍👧‍👦", '"', "\\", "<script>", "=1+1")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bias": np.arange(7, dtype=np.float32), "kind": "linear-probe", "templates": ()},
        {"activation": "sigmoid", "logit_bias": -12.93},
        {"abstain_below": 0.21, "examples": "abc", "kind": "prototype"},
        {"classes": ODD_CLASSES, "name": 'Odd "names" 猫\n', "templates": ("{}", "ein {}, süß")},
        {"image_size": (224, 336), "logit_scale": 99.99999237060547},
    ],
)
def test_a_head_that_was_saved_is_loaded_the_same(
    changes: dict[str, Any], make_head: MakeHead, embeddings: np.ndarray, tmp_path: Path
) -> None:
    head = make_head(**changes)
    head.save(tmp_path / "head.safetensors")
    loaded = Head.load(tmp_path / "head.safetensors")
    assert loaded.id == head.id
    assert loaded.metadata() == head.metadata()
    np.testing.assert_array_equal(loaded.weights, head.weights)
    np.testing.assert_array_equal(loaded.bias, head.bias)
    assert loaded.predict(embeddings) == head.predict(embeddings)


def test_the_file_is_readable_by_anyone_with_safetensors(
    make_head: MakeHead, tmp_path: Path
) -> None:
    make_head(2, logit_bias=-0.5).save(tmp_path / "head.safetensors")
    with safetensors.safe_open(str(tmp_path / "head.safetensors"), framework="numpy") as file:
        metadata = file.metadata()
        assert set(file.keys()) == {"weights"}
        weights = file.get_tensor("weights")
    assert weights.dtype == np.float32 and weights.shape == (2, 16)
    # Rows rounded to float32 are off by 1e-7 each.
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0, atol=1e-6)
    promised = {"format_version", "name", "classes", "templates", "kind", "model"}
    promised |= {"logit_scale", "logit_bias", "activation", "image_size", "mean", "std"}
    assert promised <= metadata.keys()
    assert all(isinstance(value, str) for value in metadata.values())
    assert metadata["name"] == "Cat breeds" and metadata["kind"] == "zero-shot"
    assert json.loads(metadata["classes"]) == ["class 0", "class 1"]
    assert json.loads(metadata["image_size"]) == [32, 32]
    assert float(metadata["logit_scale"]) == 20.0 and float(metadata["logit_bias"]) == -0.5


def refusal(path: Path) -> str:
    with pytest.raises(HeadError) as caught:
        Head.load(path)
    message = str(caught.value)
    assert path.name in message, "which of the files was it?"
    assert str(path.parent) not in message, f"names a folder of the server: {message}"
    assert len(message) <= 300 and message.isprintable() and message.endswith("."), message
    return message


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    import torch

    mark = tmp_path / "it_ran"
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Bomb(mark)))
    torch.save(Bomb(mark), tmp_path / "b.safetensors")
    np.save(tmp_path / "c.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    for name in ("a.safetensors", "b.safetensors", "c.npy"):
        refusal(tmp_path / name)
    assert not mark.exists(), "what was in the file was executed"
    pickle.loads((tmp_path / "a.safetensors").read_bytes())
    assert mark.exists(), "the bomb of this test is a dud"


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 100, b"\xff" * 100, b"{}", b"PK\3\4" * 30])
def test_garbage_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "head.safetensors").write_bytes(data)
    refusal(tmp_path / "head.safetensors")


def test_a_file_cut_off_anywhere_is_refused(make_head: MakeHead, tmp_path: Path) -> None:
    make_head().save(tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    for length in (4, 8, 50, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        refusal(tmp_path / "cut.safetensors")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "not there" in refusal(tmp_path / "gone.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    refusal(tmp_path / "folder.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": "99"},
        {"format_version": None},
        {"classes": None},
        {"classes": "not json"},
        {"classes": "[]"},
        {"classes": '["only one"]'},
        {"classes": "null"},
        {"classes": "[1, 2]"},
        {"classes": "[" * 100_000},  # deeper than Python's stack
        {"templates": "{"},
        {"kind": "other"},
        {"activation": None},
        {"logit_scale": "large"},
        {"logit_scale": "nan"},
        {"image_size": "[1, 2, 3]"},
        {"image_size": "null"},
        {"mean": "0.5"},
        {"abstain_below": '"low"'},
    ],
)
def test_metadata_that_makes_no_sense_is_refused(
    changes: dict[str, str | None], make_head: MakeHead, tmp_path: Path
) -> None:
    head = make_head(2)
    head.save(tmp_path / "good.safetensors")
    with safetensors.safe_open(str(tmp_path / "good.safetensors"), framework="numpy") as file:
        metadata = file.metadata()
    merged = {**metadata, **changes}
    kept = {entry: value for entry, value in merged.items() if value is not None}
    save_file({"weights": head.weights}, str(tmp_path / "bad.safetensors"), metadata=kept)
    refusal(tmp_path / "bad.safetensors")
    assert Head.load(tmp_path / "good.safetensors").id == head.id


@pytest.mark.parametrize(
    "tensors",
    [
        {"weights": np.ones((3, 16), np.float32)},
        {"weights": np.ones(2, np.float32)},
        {"weights": np.ones((2, 16), np.float16)},
        {"weights": np.ones((2, 16), np.int64)},
        {"weights": np.full((2, 16), np.nan, np.float32)},
        {"weights": np.ones((2, 16), np.float32), "bias": np.ones(3, np.float32)},
        {"weights": np.ones((2, 16), np.float32), "bias": np.full(2, np.inf, np.float32)},
        {"heights": np.ones((2, 16), np.float32)},
    ],
)
def test_tensors_of_the_wrong_shape_type_or_value_are_refused(
    tensors: dict[str, np.ndarray], make_head: MakeHead, tmp_path: Path
) -> None:
    make_head(2).save(tmp_path / "good.safetensors")
    with safetensors.safe_open(str(tmp_path / "good.safetensors"), framework="numpy") as file:
        metadata = file.metadata()
    save_file(tensors, str(tmp_path / "bad.safetensors"), metadata=metadata)
    refusal(tmp_path / "bad.safetensors")


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(
    make_head: MakeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_head().save(tmp_path / "head.safetensors")

    def none_left(self: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", none_left)
    with pytest.raises(OSError, match="Too many"):
        Head.load(tmp_path / "head.safetensors")


@pytest.mark.parametrize(("length", "is_taken"), [(1.0005, True), (1.002, False), (0.0, False)])
def test_rows_of_a_foreign_file_must_be_of_unit_length(
    length: float, is_taken: bool, make_head: MakeHead, tmp_path: Path
) -> None:
    weights = make_head().weights.copy()
    weights[3] *= length
    make_head(weights=weights).save(tmp_path / "head.safetensors")
    if is_taken:
        assert Head.load(tmp_path / "head.safetensors").classes == make_head().classes
    else:
        assert "row 3 of its weights has length" in refusal(tmp_path / "head.safetensors")
