"""The sentences the text tower learns from: words, glosses and phrases in many templates.

Strings only: knows nothing of embeddings, pictures or networks. The same seed gives the
same corpus. A *frame* is the part of a prompt that a class name is put into.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.vocabulary import frequent_words, noun_lemmas, visible_nouns
from training.wordnet import load_wordnet

# Frames that say only "here is a thing": what they add is taken out again, so that a class
# means the same in each of them.
NEUTRAL_FRAMES = (
    "{}",
    "a {}",
    "the {}",
    "This is a photo of a {}",
    "This is a photo of a {}.",
    "a photo of a {}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of {}",
    "A photo of a {}.",
    "a picture of a {}",
    "an image of a {}",
    "This is a picture of a {}.",
    "this is a {}",
    "There is a {} in this picture.",
    "a photograph of a {}",
    "a good photo of a {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a close-up photo of a {}.",
    "a blurry photo of a {}.",
    "a low resolution photo of a {}.",
    "a cropped photo of the {}.",
    "a bright photo of a {}.",
    "a dark photo of the {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
    "a photo of a nice {}.",
    "a photo of my {}.",
    "itap of a {}.",
    "I see a {}",
)
# Frames with a meaning of their own, which the text tower keeps.
SPEAKING_FRAMES = (
    "a drawing of a {}",
    "a painting of a {}",
    "a sketch of a {}.",
    "a cartoon {}.",
    "a toy {}",
    "a sculpture of a {}.",
    "a tattoo of a {}.",
    "a black and white photo of a {}.",
    "an emoji of a {}",
    "a photo of a person who works as a {}",
    "a photo of a {} person",
    "This person is {}",
    "a photo of {} food",
    "a glass of {}",
    "a plate of {}",
    "a photo of a {} at night",
    "the flag of {}",
    "a cocktail called {}",
    "a {} cat",
    "a {} dog",
)
ADJECTIVES = tuple(
    """
    red orange yellow green blue purple pink brown black white grey golden silver dark bright
    big small large tiny huge long short tall wide narrow round square flat thick thin old new
    young ancient modern broken dirty clean wet dry hot cold frozen burning fresh rotten ripe
    cooked raw sweet sour wooden metal plastic glass paper stone leather striped spotted
    colourful transparent shiny fluffy furry soft hard sharp heavy light fast slow happy sad
    angry sleepy hungry tired funny scary beautiful ugly cute elegant cheap expensive empty
    full open closed wild tame dead sleeping running flying swimming smiling quiet loud lonely
    rich poor strong weak sick healthy dangerous friendly strange famous royal military
    medical Japanese Italian French Mexican Indian Chinese African American British German
    Russian Spanish Greek Turkish Brazilian Egyptian
    """.split()  # noqa: SIM905, one a line would be 120 lines
)


@dataclass(frozen=True)
class Prompt:
    """One sentence and the frame it was made with ("" for a gloss, which has none)."""

    text: str
    frame: str


def age_prompts() -> Iterator[Prompt]:
    """Ages and counts, which a person may well type as classes."""
    for number in range(0, 111):
        for frame in NEUTRAL_FRAMES[:6]:
            yield Prompt(frame.format(f"{number} year old person"), frame)
        yield Prompt(f"a person who is {number} years old", "")
        yield Prompt(f"{number} years old", "{}")
        yield Prompt(f"{number}", "{}")
        yield Prompt(f"a photo of {number} people", "a photo of {}")


def gloss_prompts(limit: int, wordnet_directory: Path | None = None) -> Iterator[Prompt]:
    """Definitions, most used synsets first: "a large animal of the cat family"."""
    synsets = list(load_wordnet(wordnet_directory).all_synsets("n"))
    synsets.sort(key=lambda synset: -sum(lemma.count() for lemma in synset.lemmas()))
    for synset in synsets[:limit]:
        yield Prompt(synset.definition(), "")


def phrase(rng: random.Random, nouns: list[str]) -> str:
    """An adjective and a thing, such as "red bicycle"; at times two adjectives."""
    words = rng.sample(ADJECTIVES, 2 if rng.random() < 0.1 else 1)
    return " ".join([*words, rng.choice(nouns)])


def build_corpus(
    size: int = 330_000, seed: int = 0, wordnet_directory: Path | None = None
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to learn from, and 10,000 kept out: known words, unseen together.

    Returns:
        (training prompts, shuffled, about `size` of them; held-out prompts). No held-out text
        is among the first.
    """
    rng = random.Random(seed)
    visible = visible_nouns(6_000, wordnet_directory)
    common = visible[:2_500]
    kept_out: dict[str, str] = {}
    while len(kept_out) < 10_000:
        frame = rng.choice(NEUTRAL_FRAMES)
        kept_out.setdefault(frame.format(phrase(rng, common)), frame)

    found: dict[str, str] = {}

    def add(text: str, frame: str) -> None:
        if text not in kept_out:
            found.setdefault(text, frame)

    for prompt in age_prompts():
        add(prompt.text, prompt.frame)
    for word in [*visible, *frequent_words(60_000), *noun_lemmas(wordnet_directory)]:
        add(word, "{}")
    for word in visible:
        for frame in ["a {}", "This is a photo of a {}", *rng.sample(NEUTRAL_FRAMES, 4)]:
            add(frame.format(word), frame)
    for prompt in gloss_prompts(size // 12, wordnet_directory):
        add(prompt.text, prompt.frame)
    while len(found) < size:
        draw = rng.random()
        frame = rng.choice(NEUTRAL_FRAMES if draw < 0.85 else SPEAKING_FRAMES)
        words = phrase(rng, visible) if draw < 0.6 else rng.choice(visible)
        add(frame.format(words), frame)
    prompts = [Prompt(text, frame) for text, frame in found.items()]
    rng.shuffle(prompts)
    return prompts, [Prompt(text, frame) for text, frame in kept_out.items()]
