"""What a picture's class may be called: name, synonyms, hypernyms, and every other word.

A class's *caption distribution* says how much of the softmax over the whole vocabulary each
word should get. Words a person may choose must be alternatives in training, or they float
near everything. Numpy only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from wordfreq import zipf_frequency

from training.vocabulary import hypernyms_within, synset_names, visible_nouns
from training.wordnet import load_wordnet

NAME_SHARE = 0.45  # of the probability: the class's usual name
SYNONYM_SHARE = 0.12
HYPERNYM_SHARE = 0.33  # less with every step up, more for words people use
SIMILAR_SHARE = 0.1  # words the teacher finds similar to the name
SIMILAR_TEMPERATURE = 0.1
LIKELY_WEIGHT = 4.0


@dataclass(frozen=True)
class Caption:
    """A class: its usual name, its other names, its hypernyms and the steps up to each."""

    name: str
    synonyms: tuple[str, ...]
    hypernyms: dict[str, int]

    @property
    def words(self) -> set[str]:
        """Every right answer."""
        return {self.name, *self.synonyms, *self.hypernyms}


def caption_of(wordnet_id: str, wordnet_directory: Path | None = None) -> Caption:
    """The caption of a WordNet 3.0 id such as "n02129165" (lion)."""
    wordnet = load_wordnet(wordnet_directory)
    synset = wordnet.synset_from_pos_and_offset("n", int(wordnet_id[1:]))
    name, *others = synset_names(synset)
    head = [name.rsplit(" ", 1)[-1]] if name.count(" ") == 1 else []
    hypernyms = {word: step for word, step in hypernyms_within(synset).items() if word != name}
    if head and any(head[0] == word for word in hypernyms):
        hypernyms[head[0]] = 1  # "Egyptian cat" is a cat before it is a domestic cat
    return Caption(name, tuple(w for w in others if w not in hypernyms), hypernyms)


def build_vocabulary(captions: list[Caption], frequent: int, more: list[str]) -> list[str]:
    """Every caption word, the `frequent` most frequent visible nouns, and `more`; no doubles."""
    words: dict[str, None] = {}
    for caption in captions:
        words.update(dict.fromkeys([caption.name, *caption.synonyms, *caption.hypernyms]))
    words.update(dict.fromkeys(more))
    words.update(dict.fromkeys(visible_nouns(frequent)))
    return list(words)


def word_weight(word: str) -> float:
    """How likely a person says this word rather than its synonyms, at least 0.1."""
    return max(0.1, zipf_frequency(word, "en") - 2 * word.count(" ") - 1.5)


def caption_distributions(
    captions: list[Caption],
    vocabulary: list[str],
    vectors: np.ndarray,
    likely: frozenset[str] = frozenset(),
) -> np.ndarray:
    """How much of the softmax each word should get, by class.

    Args:
        vectors: the vocabulary's target vectors, (n_words, 384), unit rows.
        likely: words a person is likely to choose; among hypernyms and synonyms these get
            `LIKELY_WEIGHT` times their share.

    Returns:
        float32 (n_classes, n_words), each row summing to 1.
    """
    index = {word: i for i, word in enumerate(vocabulary)}

    def weight_of(word: str) -> float:
        return word_weight(word) * (LIKELY_WEIGHT if word in likely else 1)

    shares = np.zeros((len(captions), len(vocabulary)), np.float32)
    for row, caption in zip(shares, captions, strict=True):
        row[index[caption.name]] += NAME_SHARE
        synonyms = caption.synonyms or (caption.name,)
        said = np.array([weight_of(word) for word in synonyms])
        for word, share in zip(synonyms, said / said.sum(), strict=True):
            row[index[word]] += SYNONYM_SHARE * share
        weights = {word: 0.6**step * weight_of(word) for word, step in caption.hypernyms.items()}
        for word, weight in weights.items():
            row[index[word]] += HYPERNYM_SHARE * weight / sum(weights.values())
        if not weights:
            row[index[caption.name]] += HYPERNYM_SHARE
        similar = np.exp((vectors @ vectors[index[caption.name]] - 1) / SIMILAR_TEMPERATURE)
        row += SIMILAR_SHARE * similar / similar.sum()
    return shares
