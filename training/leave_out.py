"""For the model card only: how well words name pictures of classes never trained on.

Every tenth class of TinyImageNet is left out, and neither CIFAR-10 nor emoji, which might
know it under another name, are shown. The text tower is the distilled one, before any
picture moved its words.
"""

from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP

from training.architecture import encode_pictures
from training.augment import normalise
from training.evaluate import DEFAULT_TEMPLATE
from training.finish import word_vectors_of
from training.image_tower import ImageData, WordTable, train_image_tower
from training.pictures import Pictures
from training.word_table import Words

EVERY = 10
FRAMES = (DEFAULT_TEMPLATE,)


def measure_left_out(
    model: CLIP,
    words: Words,
    training: Pictures,
    validation: Pictures,
    state_path: Path,
    plan: list[int],
) -> float:
    """Trains without every tenth class; top-1 among the left-out names, in 0..1.

    Args:
        model: the image tower untrained, the text tower distilled.
        words: the vocabulary of the real training; the left-out classes' captions are cut.
        plan: pixels of each epoch.
    """
    classes = np.arange(len(words.names))
    left_out = classes[::EVERY]
    kept = np.setdiff1d(classes, left_out)
    seen = Words(words.vocabulary, words.vectors, words.wanted[kept], words.names[kept])
    is_shown = np.isin(training.labels, kept)
    pixels = torch.from_numpy(training.pixels[is_shown])
    rows = torch.from_numpy(np.searchsorted(kept, training.labels[is_shown]))
    source = ImageData(pixels, rows, len(rows), named=True)
    train_image_tower(model, WordTable(seen), [source], state_path, plan)
    names = [words.vocabulary[words.names[number]] for number in left_out]
    vectors = torch.from_numpy(word_vectors_of(model, names, FRAMES))
    is_asked = np.isin(validation.labels, left_out)
    model.visual.eval()
    with torch.inference_mode():
        asked = normalise(torch.from_numpy(validation.pixels[is_asked]), plan[-1])
        images = torch.cat([encode_pictures(model, part) for part in asked.split(200)])
    found = left_out[(images @ vectors.T).argmax(-1).numpy()]
    return float((found == validation.labels[is_asked]).mean())
