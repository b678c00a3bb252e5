"""For the model card only: how well words name pictures of classes never trained on.

Every tenth class of TinyImageNet is left out, and its name with it: not even as a wrong
answer is it heard. Neither CIFAR-10 nor emoji, which might know it under another name, are
shown. The text tower is the distilled one, and the words stay where it has them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import CLIP

from classifiers import build_zero_shot_head, load_encoder
from training.architecture import write_checkpoint
from training.evaluate import DEFAULT_TEMPLATE, embed_pictures
from training.finish import word_vectors_of
from training.image_tower import ImageData, WordTable, train_image_tower
from training.pictures import Pictures
from training.refit import refit_projection
from training.word_table import Words

EVERY = 10
# No `align` brought the text tower to the words that the pictures met, so the last layer has
# further to go than in `finish`, and what it learned before must fade. Few epochs, or it
# learns the names it hears by heart.
REFIT_EPOCHS = 2
REFIT_WEIGHT_DECAY = 1.0


def without_classes(words: Words, left_out: np.ndarray) -> Words:
    """The same words but for the names of the classes `left_out`, and only the other captions."""
    kept = np.setdiff1d(np.arange(len(words.names)), left_out)
    is_heard = np.ones(len(words.vocabulary), bool)
    is_heard[words.names[left_out]] = False
    heard = np.flatnonzero(is_heard)
    names = np.searchsorted(heard, words.names[kept])
    vocabulary = [words.vocabulary[number] for number in heard]
    return Words(vocabulary, words.vectors[heard], words.wanted[kept][:, heard], names)


def measure_left_out(
    model: CLIP,
    words: Words,
    training: Pictures,
    validation: Pictures,
    config: dict[str, Any],
    work: Path,
    plan: list[int],
) -> float:
    """Trains without every tenth class; top-1 among the left-out names, in 0..1.

    Asked are all pictures of those classes, of both halves of the data set: none was shown.

    Args:
        model: the image tower untrained, the text tower distilled.
        words: the vocabulary of the real training.
        config: of the checkpoint, which goes to `work` and which the product loads.
        plan: pixels of each epoch.
    """
    classes = np.arange(len(words.names))
    left_out = classes[::EVERY]
    kept = np.setdiff1d(classes, left_out)
    seen = without_classes(words, left_out)
    shown = training.only(np.isin(training.labels, kept))
    rows = torch.from_numpy(np.searchsorted(kept, shown.labels))
    source = ImageData(torch.from_numpy(shown.pixels), rows, len(rows), named=True)
    table = WordTable(seen)
    table.moved.requires_grad_(False)
    train_image_tower(model, table, [source], work / "left-out.pt", plan)
    own = replace(seen, vectors=word_vectors_of(model, seen.vocabulary))
    refit_projection(
        model,
        WordTable(own),
        [source],
        model.visual.image_size[0],
        epochs=REFIT_EPOCHS,
        weight_decay=REFIT_WEIGHT_DECAY,
    )
    write_checkpoint(model, config, work / "left-out")
    encoder = load_encoder(f"local-dir:{work / 'left-out'}")
    names = [words.vocabulary[words.names[number]] for number in left_out]
    head = build_zero_shot_head(encoder, names, [DEFAULT_TEMPLATE], name="left out")
    is_right = []
    for half in (training, validation):
        asked = half.only(np.isin(half.labels, left_out))
        found = [p.best.class_name for p in head.predict(embed_pictures(encoder, asked), k=1)]
        truth = [head.classes[number] for number in np.searchsorted(left_out, asked.labels)]
        is_right += [one == other for one, other in zip(found, truth, strict=True)]
    return float(np.mean(is_right))
