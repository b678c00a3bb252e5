"""The steps in order, each from files to files; what they compute is in their own modules."""

import argparse
from pathlib import Path

import numpy as np
import torch

from training.architecture import DEFAULT_FOLDER, build_model, load_state, read_config
from training.captions import caption_of
from training.corpus import build_corpus
from training.image_tower import ImageData, WordTable, train_image_tower
from training.pictures import CIFAR10_WORDNET_IDS, load_cifar10, load_tiny_imagenet
from training.targets import CommonParts
from training.teacher import Teacher, embed_corpus, load_corpus
from training.text_tower import initialise_tokens, tokenize, train_text_tower
from training.word_table import Words, build_words

CIFAR10_AN_EPOCH = 10_000
FREQUENT_NOUNS = 6_000


def corpus(options: argparse.Namespace) -> None:
    """Writes the sentences and what the teacher makes of them."""
    training, held_out = build_corpus()
    teacher = Teacher()
    embed_corpus(held_out, options.work / "corpus" / "held_out", teacher)
    embed_corpus(training, options.work / "corpus" / "train", teacher)


def common_parts(work: Path) -> CommonParts:
    """The frames' means of the corpus, measured once."""
    path = work / "common_parts.npz"
    if not path.exists():
        CommonParts.measure(*load_corpus(work / "corpus" / "train")).save(path)
    return CommonParts.load(path)


def text(options: argparse.Namespace) -> None:
    """Distils the teacher into the text tower."""
    torch.manual_seed(0)
    config = read_config(options.out)
    model = build_model(config)
    prompts, embeddings = load_corpus(options.work / "corpus" / "train")
    frames = [prompt.frame for prompt in prompts]
    targets = common_parts(options.work).take_out(embeddings, frames).astype(np.float16)
    tokens_path = options.work / "corpus" / "tokens.npy"
    if not tokens_path.exists():
        context = config["model_cfg"]["text_cfg"]["context_length"]
        np.save(tokens_path, tokenize([prompt.text for prompt in prompts], context))
    state_path = options.work / "text.pt"
    if load_state(state_path) is None:
        initialise_tokens(model, Teacher())
    train_text_tower(model, np.load(tokens_path), targets, state_path, options.epochs)


def words(options: argparse.Namespace) -> None:
    """Writes the vocabulary, its vectors and what each class of pictures should be called."""
    tiny = (options.data / "tiny-imagenet-200" / "wnids.txt").read_text().split()
    captions = [caption_of(each) for each in [*tiny, *CIFAR10_WORDNET_IDS]]
    made = build_words(
        captions, len(tiny), FREQUENT_NOUNS, [], common_parts(options.work), Teacher()
    )
    made.save(options.work / "words.npz")


def image(options: argparse.Namespace) -> None:
    """Trains the image tower against the word vectors."""
    torch.manual_seed(0)
    cache = options.work / "cache"
    tiny = load_tiny_imagenet(options.data / "tiny-imagenet-200", "train", cache)
    cifar = load_cifar10(options.data / "cifar10", "train", cache)
    watched = load_tiny_imagenet(options.data / "tiny-imagenet-200", "val", cache)
    sources = [
        ImageData(torch.from_numpy(tiny.pixels), torch.from_numpy(tiny.labels), 100_000, True),
        ImageData(
            torch.from_numpy(cifar.pixels),
            torch.from_numpy(cifar.labels + len(tiny.wordnet_ids)),
            CIFAR10_AN_EPOCH,
            False,
        ),
    ]
    plan = [
        int(pixels)
        for pixels, epochs in (part.split("x") for part in options.plan.split(","))
        for _ in range(int(epochs))
    ]
    train_image_tower(
        build_model(read_config(options.out)),
        WordTable(Words.load(options.work / "words.npz")),
        sources,
        options.work / "image.pt",
        plan,
        watched=(torch.from_numpy(watched.pixels[:2000]), torch.from_numpy(watched.labels[:2000])),
    )


STEPS = {"corpus": corpus, "text": text, "words": words, "image": image}
