"""The vocabulary pictures are trained against: its words, their vectors, the captions.

Made once from the teacher, kept on disk, read by every later step.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.captions import Caption, build_vocabulary, caption_distributions
from training.targets import CommonParts, unit
from training.teacher import Teacher

VECTOR_FRAMES = ("{}", "a {}", "This is a photo of a {}", "a photo of a {}")


@dataclass(frozen=True)
class Words:
    """Vocabulary, target vectors and what each class should be called.

    `vectors` float32 (n_words, 384), unit rows; `wanted` float32 (n_classes, n_words);
    `names` int64 (n_named,): the word of each class of the data set told apart by name.
    """

    vocabulary: list[str]
    vectors: np.ndarray
    wanted: np.ndarray
    names: np.ndarray

    def save(self, path: Path) -> None:
        """Writes one `.npz`."""
        np.savez(
            path,
            vocabulary=json.dumps(self.vocabulary),
            vectors=self.vectors,
            wanted=self.wanted,
            names=self.names,
        )

    @classmethod
    def load(cls, path: Path) -> "Words":
        """What `save` wrote."""
        with np.load(path) as stored:
            return cls(
                json.loads(str(stored["vocabulary"])),
                stored["vectors"],
                stored["wanted"],
                stored["names"],
            )


def word_vectors(words: list[str], common: CommonParts, teacher: Teacher) -> np.ndarray:
    """The teacher's vector of each word: the mean over a few frames, common parts taken out.

    Returns:
        float32 (n_words, 384), unit rows.
    """
    total = np.zeros((len(words), 384), np.float32)
    for frame in VECTOR_FRAMES:
        embeddings = teacher.embed([frame.format(word) for word in words])
        total += common.take_out(embeddings, [frame] * len(words))
    return unit(total)


def build_words(
    captions: list[Caption],
    named: int,
    frequent: int,
    more: list[str],
    likely: list[str],
    vectors_of: Callable[[list[str]], np.ndarray],
) -> Words:
    """Captions → vocabulary, vectors and distributions; the first `named` are told apart.

    Args:
        vectors_of: words → float32 (n_words, 384), unit rows.
    """
    vocabulary = build_vocabulary(captions, frequent, more)
    vectors = vectors_of(vocabulary)
    wanted = caption_distributions(captions, vocabulary, vectors, frozenset(likely))
    names = np.array([vocabulary.index(caption.name) for caption in captions[:named]])
    return Words(vocabulary, vectors, wanted, names)
