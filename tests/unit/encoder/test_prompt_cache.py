"""A prompt is encoded once, however many classifiers ask for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from classifiers import Encoder
from classifiers.encoder.prompt_cache import PromptCache
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore


@pytest.fixture
def encoded(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text the encoder encodes from now on."""
    texts_seen: list[str] = []
    original = encoder.encode_texts

    def counted(
        texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        texts_seen.extend(texts)
        return original(texts, progress)

    monkeypatch.setattr(encoder, "encode_texts", counted)
    return texts_seen


def test_only_what_is_new_is_encoded(encoder: Encoder, encoded: list[str]) -> None:
    cache = PromptCache(encoder.encode_texts)
    cache.encode_texts(["a cat", "a dog"])
    rows = cache.encode_texts(["a dog", "a fox", "a cat", "a dog"])
    assert encoded == ["a cat", "a dog", "a fox"]
    expected = [encoder.encode_texts([text])[0] for text in ("a dog", "a fox", "a cat", "a dog")]
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_progress_counts_what_was_known(encoder: Encoder) -> None:
    cache = PromptCache(encoder.encode_texts)
    cache.encode_texts(["a cat", "a dog"])
    told: list[tuple[int, int]] = []
    cache.encode_texts(["a cat", "a fox", "a dog"], lambda *call: told.append(call))
    assert told == [(3, 3)]


def test_what_was_not_used_for_longest_is_forgotten_first(
    encoder: Encoder, encoded: list[str]
) -> None:
    room_for_two = 2 * (4 * encoder.embed_dim + 200)
    cache = PromptCache(encoder.encode_texts, room_for_two)
    for text in ("a cat", "a dog", "a cat", "a fox", "a cat", "a dog"):
        cache.encode_texts([text])
    assert encoded == ["a cat", "a dog", "a fox", "a dog"]


def test_more_prompts_than_there_is_room_for_are_all_answered(
    encoder: Encoder, encoded: list[str]
) -> None:
    texts = [f"{n} cats" for n in range(20)]
    rows = PromptCache(encoder.encode_texts, 1_000).encode_texts(texts)
    np.testing.assert_allclose(rows, encoder.encode_texts(texts), atol=1e-6)


def test_nothing_in_gives_nothing_of_the_right_width(encoder: Encoder) -> None:
    assert PromptCache(encoder.encode_texts).encode_texts([]).shape == (0, encoder.embed_dim)


def test_a_caller_cannot_change_what_is_kept(encoder: Encoder) -> None:
    cache = PromptCache(encoder.encode_texts)
    cache.encode_texts(["a cat"])[:] = 0
    assert cache.encode_texts(["a cat"]).any()


def test_a_class_more_costs_one_prompt(
    encoder: Encoder, encoded: list[str], tmp_path: Path
) -> None:
    library = HeadLibrary(encoder, HeadStore(tmp_path))
    library.create("pets", ["a {}"], ["cat", "dog"])
    library.create("pets", ["a {}", "the {}"], ["cat", "dog", "fox"])
    assert encoded == ["a cat", "a dog", "a fox", "the cat", "the dog", "the fox"]
