"""Teaches the text tower WordNet's "is a": a rare name lies near what it is a kind of.

A sentence encoder places a name it hardly knows by its spelling ("komondor" beside
"sauerkraut"). So a name's target is moved towards its hypernyms, the more the rarer it is.
Words and numbers only: knows no network.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from wordfreq import zipf_frequency

from training.captions import word_weight
from training.targets import unit
from training.vocabulary import HYPERNYM_STEPS, TOO_GENERAL, hypernyms_within, is_visible
from training.wordnet import load_wordnet

NAME_FRAMES = ("{}", "a {}", "a photo of a {}", "This is a photo of a {}")
RARE_ZIPF, KNOWN_ZIPF = 2.0, 4.5  # wordfreq's scale: 2 is once in ten million words
RARE_SHARE, KNOWN_SHARE = 0.75, 0.1  # of the target that the hypernyms make
STEP_WEIGHT = 0.55  # of a hypernym, for every step up


def hypernym_share(name: str) -> float:
    """How much of a name's target its hypernyms make: little where people use the name."""
    zipf = zipf_frequency(name, "en") - name.count(" ")  # a phrase is guessed too high
    known = (zipf - RARE_ZIPF) / (KNOWN_ZIPF - RARE_ZIPF)
    return float(np.interp(known, (0, 1), (RARE_SHARE, KNOWN_SHARE)))


def visible_names(wordnet_directory: Path | None = None) -> dict[str, dict[str, int]]:
    """Every name of a thing one can see → its hypernyms, and the steps up to each.

    A name of several senses is taken in its first.
    """
    wordnet = load_wordnet(wordnet_directory)
    found: dict[str, dict[str, int]] = {}
    for synset in wordnet.all_synsets("n"):
        if synset.instance_hypernyms() or not is_visible(synset):
            continue
        hypernyms = hypernyms_within(synset, HYPERNYM_STEPS)
        for lemma in synset.lemma_names():
            name = lemma.replace("_", " ")
            if len(name) < 3 or name in TOO_GENERAL or name.count(" ") > 2:
                continue
            if wordnet.synsets(lemma, "n")[0] == synset:
                found[name] = {word: step for word, step in hypernyms.items() if word != name}
    return {name: hypernyms for name, hypernyms in found.items() if hypernyms}


def name_targets(
    names: dict[str, dict[str, int]],
    embed: Callable[[list[str]], np.ndarray],
    likely: frozenset[str] = frozenset(),
) -> np.ndarray:
    """Where each name should lie.

    Args:
        names: of `visible_names`.
        embed: words → float32 (n, d), unit rows, of the tower before.
        likely: words a person is likely to choose, such as the shipped nouns; they draw
            four times as much.

    Returns:
        float32 (n_names, d), unit rows, in the order of `names`.
    """
    words = list(dict.fromkeys([*names, *(word for each in names.values() for word in each)]))
    vectors = embed(words)
    row_of = {word: row for row, word in enumerate(words)}
    targets = np.empty((len(names), vectors.shape[1]), np.float32)
    for row, (name, hypernyms) in enumerate(names.items()):
        weights = np.array(
            [
                STEP_WEIGHT**step * word_weight(word) * (4.0 if word in likely else 1.0)
                for word, step in hypernyms.items()
            ]
        )
        above = weights @ vectors[[row_of[word] for word in hypernyms]]
        share = hypernym_share(name)
        targets[row] = (1 - share) * vectors[row_of[name]] + share * unit(above[None])[0]
    return unit(targets)
