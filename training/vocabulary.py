"""Which words there are: frequent ones, WordNet's nouns, and nouns of things one can see.

Strings only. Frequencies come from `wordfreq`, senses and their counts from WordNet.
"""

import re
from functools import lru_cache
from pathlib import Path

from nltk.corpus.reader.wordnet import Synset, WordNetCorpusReader
from wordfreq import top_n_list, zipf_frequency

from training.wordnet import load_wordnet

NOT_VISIBLE = {"noun.location", "noun.time", "noun.quantity"}
HYPERNYM_STEPS = 3  # how far up a caption may climb: tarantula, spider, arachnid, arthropod
TOO_GENERAL = {"entity", "physical entity", "object", "physical object", "whole", "unit"}


@lru_cache(maxsize=4)
def noun_lemmas(wordnet_directory: Path | None = None) -> tuple[str, ...]:
    """Every noun of WordNet, as a person writes it; about 117,000."""
    names = load_wordnet(wordnet_directory).all_lemma_names(pos="n")
    return tuple(sorted(name.replace("_", " ") for name in names))


def frequent_words(count: int) -> list[str]:
    """The `count` most frequent English words of letters only, most frequent first."""
    return [word for word in top_n_list("en", count + count // 4) if word.isalpha()][:count]


def synset_names(synset: Synset) -> list[str]:
    """The synset's names with spaces, the usual one first, Latin binomials left out."""
    names = [name.replace("_", " ") for name in synset.lemma_names()]
    binomial = re.compile(r"[A-Z][a-z]+ [a-z]+")  # "Panthera leo", but also "Persian cat"
    return names[:1] + [name for name in names[1:] if not binomial.fullmatch(name)]


def hypernyms_within(synset: Synset, steps: int = HYPERNYM_STEPS) -> dict[str, int]:
    """Names of the synset's hypernyms → the fewest steps up to them, at most `steps`."""
    found: dict[str, int] = {}
    level = [synset]
    for step in range(1, steps + 1):
        level = [up for each in level for up in each.hypernyms() + each.instance_hypernyms()]
        for up in level:
            for name in synset_names(up):
                if name not in TOO_GENERAL:
                    found.setdefault(name, step)
    return found


def is_visible(synset: Synset) -> bool:
    """Whether the synset is a thing one can point a camera at."""
    if synset.lexname() in NOT_VISIBLE:
        return False
    above = {up.name() for path in synset.hypernym_paths() for up in path}
    return "physical_entity.n.01" in above


def noun_share(name: str, wordnet: WordNetCorpusReader) -> float:
    """Share of a word's counted uses in which it is a noun, in 0..1 (Laplace-smoothed)."""
    uses = {True: 0.5, False: 0.5}
    for synset in wordnet.synsets(name):
        for lemma in synset.lemmas():
            if lemma.name().lower() == name:
                uses[synset.pos() == "n"] += lemma.count()
    return uses[True] / (uses[True] + uses[False])


@lru_cache(maxsize=4)
def visible_nouns(count: int, wordnet_directory: Path | None = None) -> list[str]:
    """The `count` most frequent singular nouns whose first sense is a visible thing.

    Ordered by word frequency times the share of the word's uses that are nouns.
    """
    wordnet = load_wordnet(wordnet_directory)
    weights: dict[str, float] = {}
    for word in noun_lemmas(wordnet_directory):
        name = word.replace(" ", "_")
        is_word = len(word) >= 3 and word.replace(" ", "").isalpha()
        if not is_word or wordnet.morphy(name, "n") != name:
            continue
        first = wordnet.synsets(name, "n")[0]
        is_common = name in first.lemma_names() and not first.instance_hypernyms()
        if is_common and is_visible(first):
            # wordfreq guesses a compound from its parts, always far too high
            zipf = zipf_frequency(word, "en") - 3 * word.count(" ")
            weights[word] = 10**zipf * noun_share(name, wordnet)
    return sorted(weights, key=lambda word: -weights[word])[:count]
