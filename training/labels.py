"""What the labels of the collections mean: a caption for each, and the whole vocabulary.

Words only: knows no network.
"""

from training.captions import Caption
from training.vocabulary import hypernyms_within
from training.wordnet import load_wordnet

STYLE_WORDS = {"painting of a ": "painting", "cartoon ": "cartoon", "sketch of a ": "sketch"}
FLAG = "flag of "


def is_wordnet_id(label: str) -> bool:
    """Whether a label is an id such as "n02129165"."""
    return len(label) == 9 and label[0] == "n" and label[1:].isdigit()


def label_caption(label: str) -> Caption:
    """The caption of a collection's label: "mango", "painting of a dog", "Pink Lady apple".

    WordNet says what it is a kind of; where it has no such name, the last word is asked.
    """
    wordnet = load_wordnet()
    synsets = wordnet.synsets(label.lower().replace(" ", "_"), "n")
    if synsets:
        above = hypernyms_within(synsets[0])
        return Caption(label, (), {word: step for word, step in above.items() if word != label})
    if label.startswith(FLAG):
        return Caption(label, (), {"flag": 1})
    for start, style in STYLE_WORDS.items():
        if label.startswith(start):
            return Caption(label, (), {style: 1, label.removeprefix(start): 1})
    last = label.rsplit(" ", 1)[-1].lower()
    synsets = wordnet.synsets(last, "n")
    if not synsets:
        return Caption(label, (), {})
    above = {word: step + 1 for word, step in hypernyms_within(synsets[0], 2).items()}
    return Caption(label, (), {**above, last: 1})
