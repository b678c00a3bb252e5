"""WordNet 3.0 from Debian's `wordnet-base`, read by nltk's corpus reader.

The package holds the dictionary but neither `lexnames` nor `index.sense`, which nltk's
own download would bring. The first is a fixed table, told below; the second is only
needed to look a sense key up. Knows nothing of label lists or of training.
"""

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import nltk.data
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.data import FileSystemPathPointer

WORDNET_DIRECTORY = Path("/usr/share/wordnet")

# What nltk opens on the way to a synset, its sense counts and its base form.
REQUIRED_FILES = (
    "cntlist.rev",
    *(f"data.{pos}" for pos in ("noun", "verb", "adj", "adv")),
    *(f"index.{pos}" for pos in ("noun", "verb", "adj", "adv")),
    *(f"{pos}.exc" for pos in ("noun", "verb", "adj", "adv")),
)

NOUN_TOPICS = """
Tops act animal artifact attribute body cognition communication event feeling food group location
motive object person phenomenon plant possession process quantity relation shape state substance
time
"""
VERB_TOPICS = """
body change cognition communication competition consumption contact creation emotion motion
perception possession social stative weather
"""
# Source: lexnames(5WN). Name and syntactic category, in file-number order.
LEXICOGRAPHER_FILES = (
    ("adj.all", 3),
    ("adj.pert", 3),
    ("adv.all", 4),
    *((f"noun.{topic}", 1) for topic in NOUN_TOPICS.split()),
    *((f"verb.{topic}", 2) for topic in VERB_TOPICS.split()),
    ("adj.ppl", 3),
)


class WordNetMissingError(RuntimeError):
    """The folder named does not hold WordNet's dictionary; the message says what to install."""


class _DebianWordNetReader(WordNetCorpusReader):
    """nltk's reader, given what Debian leaves out and spared what needs nltk's download."""

    def open(self, file: str) -> Any:
        if file == "lexnames":
            rows = enumerate(LEXICOGRAPHER_FILES)
            return io.StringIO("".join(f"{i:02d}\t{name}\t{pos}\n" for i, (name, pos) in rows))
        return super().open(file)

    def map_wn(self, version: str = "wordnet") -> None:
        """No mapping to another WordNet: it serves other languages, which are not here."""


@lru_cache(maxsize=2)
def load_wordnet(directory: Path | None = None) -> WordNetCorpusReader:
    """WordNet as nltk's reader: `.synsets("dog", "n")`, `.morphy(...)`, `lemma.count()`.

    Args:
        directory: where `data.noun` and its siblings are; Debian's place when None.

    Raises:
        WordNetMissingError: the dictionary is not there; install `wordnet-base`.
    """
    directory = WORDNET_DIRECTORY if directory is None else directory
    missing = [name for name in REQUIRED_FILES if not (directory / name).is_file()]
    if missing:
        raise WordNetMissingError(
            f"WordNet is not in {directory} (no {missing[0]}). "
            "Install it with `apt install wordnet-base`."
        )
    if str(directory) not in nltk.data.path:  # nltk opens nothing outside its data path
        nltk.data.path.append(str(directory))
    with warnings.catch_warnings():  # English is all we ask for
        warnings.filterwarnings("ignore", "The multilingual functions are not available")
        return _DebianWordNetReader(FileSystemPathPointer(str(directory)), None)
