"""Each class on its own: several may be right, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classifiers.heads.library import HeadLibrary
from classifiers.heads.one_vs_rest import ANYTHING, predict_independently
from classifiers.heads.store import HeadStore

CLASSES = ("cat", "animal", "pet", "spanner")


@pytest.fixture
def library(encoder, tmp_path: Path) -> HeadLibrary:
    return HeadLibrary(encoder, HeadStore(tmp_path / "heads"))


@pytest.fixture
def sigmoid_library(sigmoid_encoder, tmp_path: Path) -> HeadLibrary:
    return HeadLibrary(sigmoid_encoder, HeadStore(tmp_path / "heads"))


def test_a_class_is_weighed_against_something_and_not_against_the_others(
    library: HeadLibrary,
) -> None:
    """The softmax over two prompts, computed the long way."""
    texts = library.encoder.encode_texts([f"a photo of a {c}" for c in (*CLASSES, ANYTHING)])
    image = texts[:1] + 0.3 * texts[3:4]
    logits = library.encoder.logit_scale * (image / np.linalg.norm(image)) @ texts.T
    pairs = np.exp(logits[0, :-1]) / (np.exp(logits[0, :-1]) + np.exp(logits[0, -1]))
    head = library.create("x", ["a photo of a {}"], CLASSES)
    prediction = predict_independently(library, head, image)[0]
    assert {g.class_name for g in prediction} == set(CLASSES)
    for guess in prediction:
        assert guess.probability == pytest.approx(pairs[CLASSES.index(guess.class_name)], abs=1e-5)
    assert [g.probability for g in prediction] == sorted(pairs, reverse=True) or np.allclose(
        [g.probability for g in prediction], sorted(pairs, reverse=True), atol=1e-5
    )


def test_another_class_changes_nothing(library: HeadLibrary) -> None:
    image = library.encoder.encode_texts(["a photo of a cat"])

    def share_of_cat(classes: tuple[str, ...]) -> float:
        head = library.create("x", ["a photo of a {}"], classes)
        return dict(
            (guess.class_name, guess.probability)
            for guess in predict_independently(library, head, image)[0]
        )["cat"]

    assert share_of_cat(("cat", "dog")) == pytest.approx(share_of_cat(CLASSES), abs=1e-5)


def test_several_may_be_right_or_none(library: HeadLibrary) -> None:
    head = library.create("x", ["a {}"], CLASSES)
    near, far = head.weights.mean(axis=0), -head.weights.mean(axis=0)
    against = library.create(ANYTHING, ["a {}"], (ANYTHING,)).weights[0]
    both = predict_independently(library, head, np.stack([near - against, far + against]))
    assert sum(guess.probability > 0.5 for guess in both[0]) >= 2 and not both[0].abstains
    assert both[1].best.probability < 0.5 and both[1].abstains


def test_a_sigmoid_model_answers_as_it_was_trained_to(sigmoid_library: HeadLibrary) -> None:
    head = sigmoid_library.create("x", ["a {}"], CLASSES)
    assert head.activation == "sigmoid"
    image = sigmoid_library.encoder.encode_texts(["a cat"])
    ours = predict_independently(sigmoid_library, head, image)[0]
    logits = head.logit_scale * (image @ head.weights.T)[0] + head.logit_bias
    expected = sorted(1 / (1 + np.exp(-logits)), reverse=True)
    np.testing.assert_allclose([guess.probability for guess in ours], expected, atol=1e-6)
    assert ours == head.predict(image)[0]


def test_a_head_made_from_photos_has_something_to_be_weighed_against(
    library: HeadLibrary, make_head
) -> None:
    encoder = library.encoder
    head = make_head(
        3, encoder.embed_dim, kind="prototype", templates=(), model=encoder.model_name,
        fingerprint=encoder.fingerprint, examples="x",
    )  # fmt: skip
    prediction = predict_independently(library, head, head.weights[:1])[0]
    assert len(prediction) == 3 and all(0 <= guess.probability <= 1 for guess in prediction)
