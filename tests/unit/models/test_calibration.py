"""What a model's calibration gives its heads: a scale, a threshold, classes on their own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_rows import unit_rows

from classifiers import build_zero_shot_head, load_encoder
from classifiers.errors import ModelError
from classifiers.heads.library import HeadLibrary
from classifiers.heads.one_vs_rest import predict_independently
from classifiers.heads.store import HeadStore
from classifiers.models.calibration import CALIBRATION_FILE, ModelCalibration

SCALES = ((10, 20.0), (1000, 80.0))


def calibration_of(embeddings: np.ndarray, nearest_word: float = 0.9) -> ModelCalibration:
    return ModelCalibration(
        embeddings,
        np.full(len(embeddings), nearest_word, np.float32),
        SCALES,
        closeness=0.8,
        quantile=0.9,
        independent=(30.0, -20.0, -5.0, -4.0),
    )


@pytest.fixture
def calibration() -> ModelCalibration:
    return calibration_of(unit_rows(100, 16))


@pytest.mark.parametrize(
    "n_classes, scale", [(1, 20.0), (10, 20.0), (100, 40.0), (1000, 80.0), (10_000, 80.0)]
)
def test_the_scale_follows_the_number_of_classes(
    calibration: ModelCalibration, n_classes: int, scale: float
) -> None:
    assert calibration.logit_scale(n_classes) == pytest.approx(scale, rel=1e-6)


def test_none_of_these_lies_above_most_pictures_of_other_things() -> None:
    """Half of the pictures show the class, and they must not raise the threshold."""
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.uniform(0.1, 0.4, 100), rng.uniform(0.95, 1.5, 100)])
    pictures = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    threshold = calibration_of(pictures).abstain_below(np.array([[1.0, 0.0]], np.float32))
    others = np.sort(np.cos(angles[100:]))
    assert others[85] < threshold < others[95]
    assert (np.cos(angles[:100]) > threshold).all()


def test_classes_that_say_something_about_everything_have_a_low_threshold(
    calibration: ModelCalibration,
) -> None:
    threshold = calibration.abstain_below(calibration.embeddings)  # each is its own class
    assert (calibration.embeddings @ calibration.embeddings.T).max(1).min() >= threshold - 1e-6


def test_on_its_own_a_class_is_judged_by_what_is_usual_for_it(
    calibration: ModelCalibration,
) -> None:
    weights = unit_rows(3, 16, seed=5)
    same = np.full((1, 3), 0.4, np.float32)
    logits = calibration.independent_logits(same, calibration.independent_bias(weights))[0]
    usual = np.median(calibration.embeddings @ weights.T, axis=0)
    low = np.quantile(calibration.embeddings @ weights.T, 0.1, axis=0)
    expected = 30 * 0.4 - 20 * usual - 5 * (usual - low) - 4
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_file_gives_back_what_was_saved(calibration: ModelCalibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / CALIBRATION_FILE)
    again = ModelCalibration.load(tmp_path / CALIBRATION_FILE)
    np.testing.assert_allclose(again.embeddings, calibration.embeddings, atol=1e-3)
    assert again.logit_scales == SCALES
    assert (again.closeness, again.quantile) == (0.8, 0.9)
    assert again.independent == calibration.independent


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantile": 1.0},
        {"quantile": float("nan")},
        {"closeness": float("inf")},
        {"logit_scales": ()},
        {"logit_scales": ((100, 20.0), (10, 20.0))},
        {"logit_scales": ((10, -1.0),)},
        {"logit_scales": ((10, float("nan")),)},
        {"independent": (1.0, 2.0)},  # two of four
        {"nearest_word": np.ones(7, np.float32)},
        {"embeddings": np.full((100, 16), np.nan, np.float32)},
    ],
)
def test_a_calibration_with_wrong_numbers_is_refused(
    calibration: ModelCalibration, wrong: dict, tmp_path: Path
) -> None:
    replace(calibration, **wrong).save(tmp_path / CALIBRATION_FILE)
    with pytest.raises(ValueError, match=CALIBRATION_FILE):
        ModelCalibration.load(tmp_path / CALIBRATION_FILE)


@pytest.fixture
def calibrated_model(tiny_model: str, encoder, tmp_path: Path) -> Path:
    """The tiny model, with the calibration of pictures that are its own words."""
    folder = tmp_path / "calibrated"
    shutil.copytree(tiny_model.removeprefix("local-dir:"), folder)
    pictures = encoder.encode_texts([f"thing {n}" for n in range(60)])
    calibration_of(pictures).save(folder / CALIBRATION_FILE)
    return folder


def test_heads_of_a_calibrated_model_carry_their_own_numbers(
    calibrated_model: Path, encoder
) -> None:
    calibrated = load_encoder(f"local-dir:{calibrated_model}")
    assert calibrated.fingerprint != encoder.fingerprint  # so that no older head is taken
    few = build_zero_shot_head(calibrated, ["a", "b"], ["a {}"], name="few")
    many = build_zero_shot_head(calibrated, [f"c{n}" for n in range(100)], ["a {}"], name="many")
    assert (few.logit_scale, many.logit_scale) == (pytest.approx(20.0), pytest.approx(40.0))
    assert few.abstain_below is not None and many.abstain_below is not None
    assert few.abstain_below != many.abstain_below
    plain = build_zero_shot_head(encoder, ["a", "b"], ["a {}"], name="few")
    assert (plain.logit_scale, plain.abstain_below) == (encoder.logit_scale, None)


def test_each_class_on_its_own_is_calibrated_where_the_model_is(
    calibrated_model: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(f"local-dir:{calibrated_model}")
    library = HeadLibrary(encoder, HeadStore(tmp_path / "heads"))
    head = library.create("x", ["a {}"], ("cat", "dog"))
    image = encoder.encode_texts(["a cat"])
    prediction = predict_independently(library, head, image)[0]
    assert encoder.calibration is not None
    logits = encoder.calibration.independent_logits(
        image @ head.weights.T, encoder.calibration.independent_bias(head.weights)
    )[0]
    found = {guess.class_name: guess.probability for guess in prediction}
    for class_name, logit in zip(head.classes, logits, strict=True):
        assert found[class_name] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


def test_a_calibration_of_another_model_is_a_sentence(
    calibrated_model: Path, calibration: ModelCalibration
) -> None:
    calibration.save(calibrated_model / CALIBRATION_FILE)  # 16 numbers a picture, not 48
    with pytest.raises(ModelError, match="measured of another model"):
        load_encoder(f"local-dir:{calibrated_model}")


def test_a_damaged_calibration_is_a_sentence(calibrated_model: Path) -> None:
    (calibrated_model / CALIBRATION_FILE).write_bytes(b"no calibration")
    with pytest.raises(ModelError, match=CALIBRATION_FILE):
        load_encoder(f"local-dir:{calibrated_model}")
