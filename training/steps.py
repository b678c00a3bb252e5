"""The steps in order, each from files to files; what they compute is in their own modules."""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP

from classifiers import label_list_ids, load_label_list
from training.architecture import (
    average_image_towers,
    build_model,
    load_state,
    read_checkpoint,
    read_config,
)
from training.captions import caption_of
from training.corpus import build_corpus
from training.emoji_pictures import emoji_caption, emoji_names, render_emoji
from training.finish import finish_checkpoint, moved_prompts, word_vectors_of
from training.image_tower import ImageData, WordTable, train_image_tower
from training.leave_out import measure_left_out
from training.pictures import CIFAR10_WORDNET_IDS, load_cifar10, load_tiny_imagenet
from training.refit import refit_projection
from training.targets import CommonParts
from training.teacher import Teacher, embed_corpus, load_corpus
from training.text_tower import initialise_tokens, tokenize, train_text_tower
from training.word_table import Words, build_words, word_vectors

CIFAR10_AN_EPOCH = 10_000
EMOJI_AN_EPOCH = 6_000
EMOJI_COPIES = 6
FREQUENT_NOUNS = 6_000
NOT_CAPTIONS = ("famous_people", "ages", "abstract_nouns")  # lists no picture here could show
SUMMARY = (
    "Knows everyday things, animals and food as TinyImageNet, CIFAR-10 and emoji show them; "
    "not faces, written text, rare breeds or anything small."
)


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


def corpus_targets(work: Path, context_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The corpus as the text tower reads it: tokens, and targets float16 (n, 384)."""
    prompts, embeddings = load_corpus(work / "corpus" / "train")
    frames = [prompt.frame for prompt in prompts]
    targets = common_parts(work).take_out(embeddings, frames).astype(np.float16)
    tokens_path = work / "corpus" / "tokens.npy"
    if not tokens_path.exists():
        np.save(tokens_path, tokenize([prompt.text for prompt in prompts], context_length))
    return np.load(tokens_path), targets


def text(options: argparse.Namespace) -> None:
    """Distils the teacher into the text tower."""
    torch.manual_seed(0)
    model = build_model(read_config(options.out))
    state_path = options.work / "text.pt"
    if load_state(state_path) is None:
        initialise_tokens(model, Teacher())
    tokens, targets = corpus_targets(options.work, model.context_length)
    train_text_tower(model, tokens, targets, state_path, options.epochs)


def words(options: argparse.Namespace) -> None:
    """Writes the vocabulary, its vectors and what each class of pictures should be called.

    The vectors are the teacher's, or with `--start` the text tower's of that checkpoint.
    """
    cache = options.work / "cache"
    tiny = load_tiny_imagenet(options.data / "tiny-imagenet-200", "train", cache)
    captions = [caption_of(each) for each in [*tiny.wordnet_ids, *CIFAR10_WORDNET_IDS]]
    _, _, signs = render_emoji(EMOJI_COPIES, tiny.pixels[::50], cache / "emoji.npy")
    names = emoji_names()
    captions += [emoji_caption(sign, names[sign]) for sign in signs]
    lists = [each for each in label_list_ids() if each not in NOT_CAPTIONS]
    listed = [word for each in lists for word in load_label_list(each).classes]
    likely = list(load_label_list("nouns").classes)
    if options.start:
        model = build_model(read_config(options.start))
        read_checkpoint(model, options.start)
        vectors_of = partial(word_vectors_of, model)
    else:
        common = common_parts(options.work)
        vectors_of = partial(word_vectors, common=common, teacher=Teacher())
    named = len(tiny.wordnet_ids)
    made = build_words(captions, named, FREQUENT_NOUNS, listed, likely, vectors_of)
    made.save(options.work / "words.npz")


def picture_sources(options: argparse.Namespace) -> list[ImageData]:
    """TinyImageNet, CIFAR-10 and emoji, their rows counted on from one to the next."""
    cache = options.work / "cache"
    tiny = load_tiny_imagenet(options.data / "tiny-imagenet-200", "train", cache)
    cifar = load_cifar10(options.data / "cifar10", "train", cache)
    emoji, which, _ = render_emoji(EMOJI_COPIES, tiny.pixels[::50], cache / "emoji.npy")
    first = np.cumsum([0, len(tiny.wordnet_ids), len(cifar.wordnet_ids)])
    parts = [
        (tiny.pixels, tiny.labels, len(tiny.labels), True),
        (cifar.pixels, cifar.labels, CIFAR10_AN_EPOCH, False),
        (emoji, which, EMOJI_AN_EPOCH, False),
    ]
    return [
        ImageData(torch.from_numpy(pixels), torch.from_numpy(rows + start), an_epoch, named)
        for start, (pixels, rows, an_epoch, named) in zip(first, parts, strict=True)
    ]


def load_towers(
    options: argparse.Namespace, text_states: list[Path]
) -> tuple[CLIP, WordTable, Words]:
    """Both towers as far as they are trained, and the words where the pictures moved them.

    The text tower is the first of `text_states` that is there. With `--start` both towers
    begin as that checkpoint's, and the words stay where its text tower has them.
    """
    model = build_model(read_config(options.out))
    known = Words.load(options.work / "words.npz")
    table = WordTable(known)
    if options.start:
        read_checkpoint(model, options.start)
        table.moved.requires_grad_(False)
    for path in (options.work / f"image-{n}.pt" for n in range(options.round, 0, -1)):
        if state := load_state(path):
            model.visual.load_state_dict(state["average"])
            earlier = json.loads(path.with_suffix(".json").read_text())
            words = state["table"]
            table.carry_over(known.vocabulary, earlier, words["moved"], words["log_scales"])
            break
    for path in text_states:
        if state := load_state(path):
            model.load_state_dict(state["model"], strict=False)
            break
    return model, table, known


def epochs_of(plan: str) -> list[int]:
    """A plan such as "48x2,64x1" → pixels of each epoch: [48, 48, 64]."""
    parts = [part.split("x") for part in plan.split(",")]
    return [int(pixels) for pixels, epochs in parts for _ in range(int(epochs))]


def image(options: argparse.Namespace) -> None:
    """Trains the image tower against the word vectors, on from an earlier round if any."""
    torch.manual_seed(0)
    state_path = options.work / f"image-{options.round}.pt"
    model, table, known = load_towers(options, [options.work / "text.pt"])
    state_path.with_suffix(".json").write_text(json.dumps(known.vocabulary))
    watched = load_tiny_imagenet(options.data / "tiny-imagenet-200", "val", options.work / "cache")
    train_image_tower(
        model,
        table,
        picture_sources(options),
        state_path,
        epochs_of(options.plan),
        peak_rate=options.rate,
        watched=(torch.from_numpy(watched.pixels[:2000]), torch.from_numpy(watched.labels[:2000])),
    )


def align(options: argparse.Namespace) -> None:
    """Teaches the text tower where the pictures moved the words, the corpus beside them."""
    model, table, known = load_towers(options, [options.work / "text.pt"])
    mentioned = table.mentioned(torch.arange(len(known.wanted)))
    caption_words = set(torch.nonzero(mentioned).squeeze(1).tolist())
    vectors = table.vectors().detach().numpy()
    prompts, moved = moved_prompts(known.vocabulary, vectors, caption_words)
    tokens, targets = corpus_targets(options.work, model.context_length)
    tokens = np.concatenate(
        [tokens, tokenize([prompt.text for prompt in prompts], model.context_length)]
    )
    targets = np.concatenate([targets, moved])
    state_path = options.work / f"aligned-{options.round}.pt"
    train_text_tower(model, tokens, targets, state_path, epochs=1, peak_rate=4e-4)


def finish(options: argparse.Namespace) -> None:
    """Fits the last layer to the text tower's words, calibrates, writes the checkpoint."""
    aligned = [options.work / f"aligned-{n}.pt" for n in range(options.round, 0, -1)]
    model, _, known = load_towers(options, aligned)
    average_image_towers(model, options.average)
    own = Words(
        known.vocabulary, word_vectors_of(model, known.vocabulary), known.wanted, known.names
    )
    size = model.visual.image_size[0]
    refit_projection(model, WordTable(own), picture_sources(options), size)
    validation = load_tiny_imagenet(
        options.data / "tiny-imagenet-200", "val", options.work / "cache"
    )
    finish_checkpoint(model, options.out, validation, SUMMARY)


def leave_out(options: argparse.Namespace) -> None:
    """Prints how well words name pictures of classes that a second training never saw."""
    torch.manual_seed(0)
    config = read_config(options.out)
    model = build_model(config)
    if state := load_state(options.work / "text.pt"):
        model.load_state_dict(state["model"], strict=False)
    folder, cache = options.data / "tiny-imagenet-200", options.work / "cache"
    top1 = measure_left_out(
        model,
        Words.load(options.work / "words.npz"),
        load_tiny_imagenet(folder, "train", cache),
        load_tiny_imagenet(folder, "val", cache),
        config,
        options.work,
        epochs_of(options.plan),
    )
    print(f"20 classes left out of training, 20-way, default template: top-1 {100 * top1:.1f} %")


STEPS = {
    "corpus": corpus,
    "text": text,
    "words": words,
    "image": image,
    "align": align,
    "finish": finish,
    "leave-out": leave_out,
}
