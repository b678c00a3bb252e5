"""From two trained towers to the checkpoint the product loads, calibrated.

Knows the product's face (`classifiers`), so that the temperature is fitted to exactly what
a person will see.
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP
from torch.nn import functional

from classifiers import load_encoder
from training.architecture import encode_tokens, read_config, write_checkpoint
from training.calibrate import fit_logit_scale, none_of_these
from training.captions import caption_of
from training.corpus import NEUTRAL_FRAMES, Prompt
from training.evaluate import DEFAULT_TEMPLATE, embed_pictures, measured_heads
from training.pictures import Pictures
from training.text_tower import tokenize
from training.word_table import VECTOR_FRAMES

CAPTION_FRAMES = 20  # in how many frames the text tower meets a word that a caption holds
OTHER_FRAMES = 4


def moved_prompts(
    vocabulary: list[str], vectors: np.ndarray, caption_words: set[int], seed: int = 0
) -> tuple[list[Prompt], np.ndarray]:
    """Words in neutral frames, with the vectors the pictures gave them.

    Returns:
        Prompts, and float16 (n, 384).
    """
    rng = random.Random(seed)
    prompts, rows = [], []
    for number, word in enumerate(vocabulary):
        more = CAPTION_FRAMES if number in caption_words else OTHER_FRAMES
        for frame in {*VECTOR_FRAMES, *rng.sample(NEUTRAL_FRAMES, more)}:
            prompts.append(Prompt(frame.format(word), frame))
            rows.append(number)
    return prompts, vectors[rows].astype(np.float16)


@torch.inference_mode()
def word_vectors_of(model: CLIP, vocabulary: list[str]) -> np.ndarray:
    """What the text tower makes of each word, the mean over a few frames: unit (n, 384)."""
    total = torch.zeros(len(vocabulary), model.text_projection.shape[1])
    for frame in (*VECTOR_FRAMES, DEFAULT_TEMPLATE):
        tokens = tokenize([frame.format(word) for word in vocabulary], model.context_length)
        for start in range(0, len(tokens), 512):
            part = torch.from_numpy(tokens[start : start + 512]).long()
            total[start : start + 512] += functional.normalize(encode_tokens(model, part), dim=-1)
    return functional.normalize(total, dim=-1).numpy()


def calibrate_checkpoint(folder: Path, pictures: Pictures) -> tuple[float, float]:
    """Logit scale and none-of-these threshold, on the even half of the validation pictures.

    Args:
        folder: a checkpoint; its own logit scale does not matter.
        pictures: TinyImageNet's validation set.
    """
    even = pictures.only(slice(None, None, 2))
    encoder = load_encoder(f"local-dir:{folder}")
    captions = [caption_of(each) for each in pictures.wordnet_ids]
    images = embed_pictures(encoder, even)
    names, nouns = measured_heads(encoder, captions)
    right = np.array([[word in caption.words for word in nouns.classes] for caption in captions])
    by_name, by_noun = images @ names.weights.T, images @ nouns.weights.T
    answers = np.eye(len(captions), dtype=bool)
    scale = fit_logit_scale([(by_name, answers[even.labels]), (by_noun, right[even.labels])])
    kept = np.random.default_rng(0).permutation(len(captions))[: len(captions) // 2]
    is_known = np.isin(even.labels, kept)
    best = by_name[:, kept].max(1)
    threshold, _ = none_of_these(best[is_known], best[~is_known])
    return scale, threshold


def finish_checkpoint(model: CLIP, folder: Path, pictures: Pictures, summary: str) -> None:
    """Writes the checkpoint, fits its temperature, writes it again with `headsmith.json`."""
    config = read_config(folder)
    card = {
        "name": "Headsmith built-in",
        "summary": summary,
        "licence": "Apache-2.0; see README.md for the terms of what it was trained on",
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    write_checkpoint(model, config, folder)
    scale, threshold = calibrate_checkpoint(folder, pictures)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(scale))
    write_checkpoint(model, config, folder)
    card["none_of_these_similarity"] = round(threshold, 4)
    (folder / "headsmith.json").write_text(json.dumps(card, indent=2) + "\n")
