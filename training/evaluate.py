"""Measures the built-in model as the product uses it; what the model card quotes.

`python -m training.evaluate --data FOLDER [--part pictures|text|speed]`. The pictures are
TinyImageNet's validation set, never trained on, and with `--photographs` some of ordinary
size; every answer comes out of `build_zero_shot_head` and `Head.predict`.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from classifiers import Encoder, Head, build_zero_shot_head, load_encoder, load_label_list
from training.calibrate import calibration_error, none_of_these
from training.captions import Caption, caption_of
from training.pictures import DataSetMissingError, Pictures, load_tiny_imagenet

DEFAULT_TEMPLATE = "This is a photo of a {}"
Row = tuple[str, str]


def embed_pictures(encoder: Encoder, pictures: Pictures) -> np.ndarray:
    """Unit rows (n, embed_dim) of every picture, by the product's own preprocessing."""
    parts = [
        encoder.encode_images([Image.fromarray(p.transpose(1, 2, 0)) for p in part])
        for part in np.array_split(pictures.pixels, max(1, len(pictures.pixels) // 250))
    ]
    return np.concatenate(parts)


def measured_heads(encoder: Encoder, captions: list[Caption]) -> tuple[Head, Head]:
    """The label sets everything is measured with: the class names, and the shipped nouns."""
    names = [caption.name for caption in captions]
    return (
        build_zero_shot_head(encoder, names, [DEFAULT_TEMPLATE], name="class names"),
        measured_nouns(encoder),
    )


def measured_nouns(encoder: Encoder) -> Head:
    """The shipped nouns, as the product makes them."""
    nouns = load_label_list("nouns")
    return build_zero_shot_head(encoder, nouns.classes, nouns.templates, name=nouns.name)


def measure_names(head: Head, images: np.ndarray, labels: np.ndarray) -> list[Row]:
    """Top-1, top-5 and calibration among the class names, on the half not fitted on."""
    predictions = head.predict(images, k=5)
    answers = [[guess.class_name for guess in prediction] for prediction in predictions]
    truth = [head.classes[label] for label in labels]
    first = np.array([found[0] == true for found, true in zip(answers, truth, strict=True)])
    five = np.mean([true in found for found, true in zip(answers, truth, strict=True)])
    claimed = np.array([prediction.best.probability for prediction in predictions])
    odd = slice(1, None, 2)  # the temperature is fitted on the even ones
    return [
        ("200 class names, default template: top-1", f"{100 * first.mean():.1f} %"),
        ("200 class names, default template: top-5", f"{100 * five:.1f} %"),
        (
            "200 class names: calibration error (odd half; scale fitted on even)",
            f"{100 * calibration_error(claimed[odd], first[odd]):.1f} %",
        ),
        ("200 class names: mean probability of the first", f"{100 * claimed.mean():.1f} %"),
    ]


def measure_nouns(
    head: Head, images: np.ndarray, labels: np.ndarray, captions: list[Caption]
) -> list[Row]:
    """Whether a right word, a hypernym up to three steps included, is in the five nouns."""
    right = [caption.words for caption in captions]
    possible = np.array([bool(words & set(head.classes)) for words in right])
    predictions = head.predict(images, k=5)
    found = [
        [guess.class_name in right[label] for guess in prediction]
        for prediction, label in zip(predictions, labels, strict=True)
    ]
    hits = np.array(found)
    claimed = np.array([prediction.best.probability for prediction in predictions])
    named = [{captions[label].name, *captions[label].synonyms} for label in labels]
    own_word = np.array([bool(words & set(head.classes)) for words in named])
    own = np.array(
        [
            bool(words & {guess.class_name for guess in prediction})
            for words, prediction in zip(named, predictions, strict=True)
        ]
    )
    return [
        ("nouns: a right word in the five", f"{100 * hits.any(1).mean():.1f} %"),
        ("nouns: pictures for which the list has one", f"{100 * possible[labels].mean():.1f} %"),
        ("nouns: the first is a right word", f"{100 * hits[:, 0].mean():.1f} %"),
        (
            "nouns: class or synonym in the five, where the list has it",
            f"{100 * own[own_word].mean():.1f} %",
        ),
        (
            "nouns: calibration error (odd half)",
            f"{100 * calibration_error(claimed[1::2], hits[1::2, 0]):.1f} %",
        ),
        ("nouns: mean probability of the first", f"{100 * claimed.mean():.1f} %"),
    ]


def measure_strangers(head: Head, images: np.ndarray, labels: np.ndarray) -> list[Row]:
    """Half the class names as label set: how often the rest are seen to be none of these."""
    rng = np.random.default_rng(0)
    kept = rng.permutation(len(head.classes))[: len(head.classes) // 2]
    best = (images @ head.weights[kept].T).max(1)
    is_known = np.isin(labels, kept)
    threshold, _ = none_of_these(best[is_known][::2], best[~is_known][::2])
    shipped = head.abstain_below if head.abstain_below is not None else threshold
    return [
        ("none of these: cosine threshold shipped", f"{shipped:.3f}"),
        (
            "none of these: detected, of pictures outside 100 names (odd half)",
            f"{100 * (best[~is_known][1::2] < shipped).mean():.1f} %",
        ),
        (
            "none of these: false alarms, of pictures inside (odd half)",
            f"{100 * (best[is_known][1::2] < shipped).mean():.1f} %",
        ),
    ]


def measure_pictures(encoder: Encoder, pictures: Pictures) -> list[Row]:
    """Every row that needs pictures."""
    captions = [caption_of(each) for each in pictures.wordnet_ids]
    images = embed_pictures(encoder, pictures)
    names, nouns = measured_heads(encoder, captions)
    return [
        *measure_names(names, images, pictures.labels),
        *measure_nouns(nouns, images, pictures.labels, captions),
        *measure_strangers(names, images, pictures.labels),
    ]


def measure_photographs(encoder: Encoder, folder: Path, trained: tuple[str, ...]) -> list[Row]:
    """Photographs of ordinary size against the nouns, by whether their class was trained on.

    Args:
        folder: files that begin with a WordNet id, such as `n02129165_lion.JPEG`.
        trained: WordNet ids.

    Raises:
        DataSetMissingError: `folder` holds no such file.
    """
    ids = {path: path.name.split("_")[0] for path in sorted(folder.glob("n*_*"))}
    if not ids:
        raise DataSetMissingError(f"No files like n02129165_lion.JPEG in {folder}.")
    nouns = measured_nouns(encoder)
    rows = []
    for what, is_asked in (("trained on", True), ("never trained on", False)):
        paths = [path for path in ids if (ids[path] in trained) is is_asked]
        if paths:
            images = np.concatenate([encoder.encode_picture(path) for path in paths])
            captions = [caption_of(ids[path]) for path in paths]
            name, share = measure_nouns(nouns, images, np.arange(len(paths)), captions)[0]
            rows.append((f"{len(paths)} photographs of classes {what}, {name}", share))
    return rows


def measure_speed(name: str) -> list[Row]:
    """Load, one picture, and the nouns for the first time, in this process."""
    start = time.perf_counter()
    encoder = load_encoder(name)
    loaded = time.perf_counter() - start
    picture = Image.effect_noise((640, 480), 60).convert("RGB")
    encoder.encode_images([picture])
    start = time.perf_counter()
    for _ in range(20):
        encoder.encode_images([picture])
    one = (time.perf_counter() - start) / 20
    start = time.perf_counter()
    nouns = measured_nouns(encoder)
    built = time.perf_counter() - start
    cores = len(os.sched_getaffinity(0))
    return [
        (f"load, imports done ({cores} cores)", f"{loaded:.2f} s"),
        (f"one picture of 640 × 480 ({cores} cores)", f"{1000 * one:.1f} ms"),
        (f"{len(nouns.classes):,} nouns the first time ({cores} cores)", f"{built:.2f} s"),
    ]


def measure_text(encoder: Encoder, work: Path | None) -> list[Row]:
    """The text tower against its teacher: kept-out prompts, and the nouns' neighbours.

    Args:
        work: where training left its corpus; made anew, in some minutes, when None.
    """
    from training.corpus import build_corpus
    from training.targets import CommonParts
    from training.teacher import Teacher, load_corpus

    teacher = Teacher()
    if work is None:
        corpus, held_out = build_corpus()
        sample = corpus[:30_000]  # shuffled; enough for the frames' means
        common = CommonParts.measure(sample, teacher.embed([prompt.text for prompt in sample]))
        embeddings = teacher.embed([prompt.text for prompt in held_out])
    else:
        common = CommonParts.load(work / "common_parts.npz")
        held_out, embeddings = load_corpus(work / "corpus" / "held_out")
    wanted = common.take_out(embeddings, [prompt.frame for prompt in held_out])
    cosine = (encoder.encode_texts([prompt.text for prompt in held_out]) * wanted).sum(-1)
    nouns = load_label_list("nouns")
    prompts = [nouns.templates[0].format(word) for word in nouns.classes]
    shared = neighbours_shared(encoder.encode_texts(prompts), teacher.embed(prompts))
    return [
        ("10,000 kept-out prompts: mean cosine to the (centred) teacher", f"{cosine.mean():.3f}"),
        ("nouns: share of the teacher's ten nearest among the student's", f"{100 * shared:.1f} %"),
    ]


def neighbours_shared(student: np.ndarray, teacher: np.ndarray, k: int = 10) -> float:
    """Mean share of the teacher's `k` nearest that are the student's too; unit rows (n, d)."""

    def nearest(rows: np.ndarray) -> np.ndarray:
        similarities = rows @ rows.T
        np.fill_diagonal(similarities, -2)
        return np.argpartition(-similarities, k, axis=1)[:, :k]

    pairs = zip(nearest(student), nearest(teacher), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def show(rows: list[Row]) -> None:
    """Prints rows of a Markdown table as soon as they are measured."""
    for name, value in rows:
        print(f"| {name} | {value} |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--data", type=Path, help="folder with tiny-imagenet-200/")
    parser.add_argument("--photographs", type=Path, help="folder of files like n02129165_lion.JPEG")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="for decoded pictures")
    parser.add_argument("--work", type=Path, help="training's, to read its corpus and not make it")
    parser.add_argument("--part", choices=["pictures", "text", "speed"], action="append")
    options = parser.parse_args(arguments)
    parts = options.part or ["speed", "text", *(["pictures"] if options.data else [])]
    if "speed" in parts:
        show(measure_speed(options.model))
    encoder = load_encoder(options.model)
    if "pictures" in parts:
        pictures = load_tiny_imagenet(options.data / "tiny-imagenet-200", "val", options.cache)
        show(measure_pictures(encoder, pictures))
        if options.photographs:
            show(measure_photographs(encoder, options.photographs, pictures.wordnet_ids))
    if "text" in parts:
        show(measure_text(encoder, options.work))
    if "pictures" not in parts:
        print("Give --data FOLDER, with tiny-imagenet-200/ in it, for the rows about pictures.")


if __name__ == "__main__":
    main()
