"""Words become a head, by the published recipe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import open_clip
import pytest
import torch

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ClassNamesError, TemplateError
from classifiers.heads.zero_shot import build_zero_shot_head, zero_shot_head_id

ROUNDING = 1e-5  # float32 sums in another order; the rows have length 1
CLASSES = (
    "cat",
    "a very long name of a dog that never comes when called",
    "猫",
    "{}",
    "Côte d'Ivoire",
)
ENSEMBLE = ("a photo of a {}", "a drawing of the {}", "{}, seen from far away, with another {}")


def reference(encoder: Encoder, classes: Sequence[str], templates: Sequence[str]) -> np.ndarray:
    """open_clip's own builder, turned to one row a class."""
    tokenizer = open_clip.get_tokenizer(encoder.model_name)
    fill = [lambda name, t=template: t.replace("{}", name) for template in templates]
    with torch.inference_mode():
        weights = open_clip.build_zero_shot_classifier(
            encoder.model, lambda texts: tokenizer(texts, encoder.context_length), classes, fill
        )
    return weights.T.numpy()  # (n_classes, embed_dim)


@pytest.mark.parametrize("templates", [ENSEMBLE[:1], ENSEMBLE])
@pytest.mark.parametrize("model", ["encoder", "sigmoid_encoder"])
def test_the_weights_are_those_of_open_clip_s_builder(
    model: str, templates: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    encoder = request.getfixturevalue(model)
    head = build_zero_shot_head(encoder, CLASSES, templates, name="x")
    expected = reference(encoder, CLASSES, templates)
    np.testing.assert_allclose(head.weights, expected, atol=ROUNDING)


def test_an_ensemble_is_not_one_of_its_templates(encoder: Encoder) -> None:
    ensemble = build_zero_shot_head(encoder, CLASSES, ENSEMBLE, name="x").weights
    for template in ENSEMBLE:
        single = build_zero_shot_head(encoder, CLASSES, (template,), name="x").weights
        assert np.abs(ensemble - single).max() > 100 * ROUNDING


@pytest.mark.parametrize("texts_at_once", [1, 2, 4])
def test_a_large_list_in_pieces_gives_the_same_numbers(
    texts_at_once: int, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_zero_shot_head(encoder, CLASSES, ENSEMBLE, name="x")
    monkeypatch.setattr("classifiers.encoder.encoder.TEXT_BATCH", texts_at_once)
    pieces = build_zero_shot_head(encoder, CLASSES, ENSEMBLE, name="x")
    np.testing.assert_allclose(pieces.weights, whole.weights, atol=ROUNDING)
    assert pieces.id == whole.id


def test_the_head_carries_what_its_model_needs(encoder: Encoder, sigmoid_encoder: Encoder) -> None:
    for model in (encoder, sigmoid_encoder):
        head = build_zero_shot_head(model, CLASSES, ["a NAME"], name="My classes")
        assert head.name == "My classes" and head.kind == "zero-shot"
        assert head.classes == CLASSES and head.templates == ("a {}",)
        assert head.weights.dtype == np.float32 and head.weights.shape == (5, 48)
        np.testing.assert_allclose(np.linalg.norm(head.weights, axis=1), 1.0, atol=1e-6)  # float32
        for entry in ("logit_scale", "logit_bias", "activation", "image_size", "mean", "std"):
            assert getattr(head, entry) == getattr(model, entry), entry
        assert (head.model, head.fingerprint) == (model.model_name, model.fingerprint)


def test_the_id_is_known_without_building(encoder: Encoder) -> None:
    head = build_zero_shot_head(encoder, CLASSES, ["a NAME", "the {class}"], name="x")
    assert zero_shot_head_id(encoder, CLASSES, ["a {}", "the {}"]) == head.id
    assert zero_shot_head_id(encoder, CLASSES[::-1], ["a {}", "the {}"]) != head.id


def test_progress_only_rises_and_ends_at_the_number_of_classes(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifiers.encoder.encoder.TEXT_BATCH", 64)
    classes = [f"thing {i}" for i in range(200)]
    calls: list[tuple[int, int]] = []
    build_zero_shot_head(
        encoder, classes, ENSEMBLE, name="x", progress=lambda *call: calls.append(call)
    )
    done = [call[0] for call in calls]
    assert {call[1] for call in calls} == {200}
    assert done == sorted(done), "a bar that goes back"
    assert done[0] >= 0 and done[-1] == 200 and len(calls) >= 600 / 64


def test_cancel_stops_the_work_at_once(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifiers.encoder.encoder.TEXT_BATCH", 10)
    calls = 0

    def cancel(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError):
        build_zero_shot_head(
            encoder, [f"thing {i}" for i in range(200)], ["{}"], name="x", progress=cancel
        )
    assert calls == 2, "it went on after Cancel"


def test_nothing_to_build_from_is_refused(encoder: Encoder) -> None:
    with pytest.raises(ClassNamesError):
        build_zero_shot_head(encoder, [], ["a {}"], name="x")
    with pytest.raises(TemplateError):
        build_zero_shot_head(encoder, ["cat"], [], name="x")
    with pytest.raises(TemplateError):
        build_zero_shot_head(encoder, ["cat"], ["a photo"], name="x")
    with pytest.raises(ClassNamesError, match="20,000"):
        build_zero_shot_head(encoder, [str(i) for i in range(20_000)], ["a {}"], name="x")


def test_too_many_prompts_are_refused_with_the_figures(encoder: Encoder) -> None:
    templates = [f"template {n} of {{}}" for n in range(101)]
    with pytest.raises(TemplateError, match="505,000 prompts; 500,000 is the most"):
        build_zero_shot_head(encoder, [str(n) for n in range(5000)], templates, name="x")


def test_one_class_makes_a_classifier(encoder: Encoder) -> None:
    head = build_zero_shot_head(encoder, ["cat"], ["a {}"], name="x")
    (prediction,) = head.predict(np.ones((1, 48), np.float32))
    assert [guess.class_name for guess in prediction] == ["cat"]


def test_a_class_of_four_hundred_words_is_cut_and_still_has_a_place(encoder: Encoder) -> None:
    head = build_zero_shot_head(encoder, ["cat", "word " * 400], ["a {}"], name="x")
    assert np.isfinite(head.weights).all() and len(head.classes) == 2
