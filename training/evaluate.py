"""Measures the built-in model as the product uses it; what the model card quotes.

`python -m training.evaluate --data FOLDER [--part pictures|text|speed]`. No picture asked
about was ever trained on; every answer comes out of `build_zero_shot_head`, `Head.predict`
and `Encoder`.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from classifiers import Encoder, Head, build_zero_shot_head, load_encoder, load_label_list
from training.calibrate import calibration_error
from training.captions import Caption, caption_of
from training.collections import COLLECTIONS, flickr_captions

DEFAULT_TEMPLATE = "This is a photo of a {}"
BATCH_PICTURES = 16
SHOTS, DRAWS = 5, 20
PROFESSION_NAMES = {  # what the shipped list calls each of the ten
    "mechanic": {"mechanic", "car mechanic", "auto mechanic", "mechanical engineer"},
}
Row = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Held-out pictures of one collection: unit rows (n, embed_dim), and what each shows."""

    embeddings: np.ndarray
    labels: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Every label once, in alphabetical order."""
        return sorted(set(self.labels))

    @property
    def truth(self) -> np.ndarray:
        """The place of each picture's label in `names`, int64 (n,)."""
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([place[label] for label in self.labels])


def embed_held_out(encoder: Encoder, data: Path, name: str) -> Pictures:
    """The held-out pictures of a collection, by the product's own preprocessing."""
    collection = COLLECTIONS[name]
    repository = collection.open(data)
    held_out = [each for each in collection.photographs(repository) if each.is_held_out]
    contents = repository.read_blobs([each.blob for each in held_out])
    rows = [
        encoder.encode_picture(content) for content in tqdm(contents, name, total=len(held_out))
    ]
    return Pictures(
        np.concatenate(rows),
        tuple(each.label for each in held_out),
        tuple(each.path for each in held_out),
    )


def per_cent(share: float | np.floating) -> str:
    """A share in 0..1 as the card shows it."""
    return f"{100 * share:.1f} %"


def best_classes(head: Head, images: np.ndarray, k: int = 5) -> list[list[str]]:
    """The names of the `k` likeliest classes of each picture, best first."""
    return [[guess.class_name for guess in guesses] for guesses in head.predict(images, k=k)]


def default_head(encoder: Encoder, names: list[str]) -> Head:
    """A classifier of these names as a visitor types it."""
    return build_zero_shot_head(encoder, names, [DEFAULT_TEMPLATE], name="names")


def shipped_head(encoder: Encoder, list_id: str) -> Head:
    """A shipped list as the product makes it."""
    labels = load_label_list(list_id)
    return build_zero_shot_head(encoder, labels.classes, labels.templates, name=labels.name)


def accuracy(head: Head, images: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Whether the first answer is the label: bool (n,)."""
    first = [names[0] for names in best_classes(head, images, 1)]
    return np.array([found == label for found, label in zip(first, labels, strict=True)])


@dataclass(frozen=True, eq=False)
class Photographs:
    """One photograph of each of ImageNet's 1,000 classes, and what each may be called."""

    pictures: Pictures
    captions: list[Caption]

    @classmethod
    def embed(cls, encoder: Encoder, data: Path) -> Photographs:
        pictures = embed_held_out(encoder, data, "imagenet_samples")
        return cls(pictures, [caption_of(label) for label in pictures.labels])

    def right(self, head: Head, k: int) -> np.ndarray:
        """Which of the `k` best classes are name, synonym or hypernym: bool (n, k)."""
        answers = best_classes(head, self.pictures.embeddings, k)
        return np.array(
            [
                [name in caption.words for name in names]
                for names, caption in zip(answers, self.captions, strict=True)
            ]
        )


def measure_photographs(encoder: Encoder, photographs: Photographs) -> list[Row]:
    """A thousand ordinary photographs against the nouns, and against the thousand names."""
    nouns = shipped_head(encoder, "nouns")
    hits = photographs.right(nouns, 5)
    listed = set(nouns.classes)
    possible = [bool(caption.words & listed) for caption in photographs.captions]
    return [
        ("nouns, 1,000 photographs: a right word in the five", per_cent(hits.any(1).mean())),
        ("nouns: photographs for which the list has one", per_cent(np.mean(possible))),
        ("nouns: the first is a right word", per_cent(hits[:, 0].mean())),
        *measure_names(encoder, photographs, ""),
    ]


def measure_names(encoder: Encoder, photographs: Photographs, suffix: str) -> list[Row]:
    """Top-1 and top-5 among the thousand names."""
    images = photographs.pictures.embeddings
    # A name may stand for two classes ("crane"): places, not names, are compared.
    prompts = [DEFAULT_TEMPLATE.format(caption.name) for caption in photographs.captions]
    similarities = images @ encoder.encode_texts(prompts).T
    places = np.argsort(-similarities, axis=1, kind="stable")[:, :5]
    own = np.arange(len(images))
    return [
        (f"1,000 names: top-1{suffix}", per_cent((places[:, 0] == own).mean())),
        (f"1,000 names: top-5{suffix}", per_cent((places == own[:, None]).any(1).mean())),
    ]


def outside_imagenet(names: list[str], captions: list[Caption]) -> set[str]:
    """Names of which ImageNet has no class, neither under that name nor as its last word."""
    known = {name.lower() for caption in captions for name in (caption.name, *caption.synonyms)}
    return {
        name
        for name in names
        if name.lower() not in known and name.lower().split(" ")[-1] not in known
    }


def measure_caltech(
    encoder: Encoder, pictures: Pictures, captions: list[Caption], suffix: str = ""
) -> list[Row]:
    """Zero-shot on a data set of its own; the classes outside ImageNet apart."""
    is_right = accuracy(default_head(encoder, pictures.names), pictures.embeddings, pictures.labels)
    outside = outside_imagenet(pictures.names, captions)
    apart = np.array([label in outside for label in pictures.labels])
    return [
        (f"Caltech-101, 100 names: top-1{suffix}", per_cent(is_right.mean())),
        (
            f"Caltech-101: top-1 of the {len(outside)} outside ImageNet's names{suffix}",
            per_cent(is_right[apart].mean()),
        ),
    ]


def measure_probe(pictures: Pictures) -> list[Row]:
    """Logistic regression on a few photographs a class, asked about the others."""
    x, y = pictures.embeddings, pictures.truth
    shares = []
    for draw in tqdm(range(DRAWS), "probe"):
        order = np.random.default_rng(draw).permutation(len(y))
        rank = np.zeros(len(y), int)  # how many of its class come before it in this draw
        for label in np.unique(y):
            rank[order[y[order] == label]] = np.arange((y == label).sum())
        taught = rank < SHOTS
        probe = LogisticRegression(C=100, max_iter=300).fit(x[taught], y[taught])
        shares.append(probe.score(x[~taught], y[~taught]))
    name = f"Caltech-101: logistic regression on {SHOTS} a class (mean of {DRAWS} draws)"
    return [(name, per_cent(np.mean(shares)))]


def measure_captions(encoder: Encoder, pictures: Pictures, data: Path) -> list[Row]:
    """Flickr8k's kept-out pictures and captions, each looked for among the other."""
    captions = [flickr_captions(data)[path.rsplit("/", 1)[1]] for path in pictures.paths]
    texts = encoder.encode_texts([caption for five in captions for caption in five])
    own = np.repeat(np.arange(len(captions)), [len(five) for five in captions])
    similarities = texts @ pictures.embeddings.T
    better = (similarities > similarities[np.arange(len(own)), own][:, None]).sum(1)
    found = own[similarities.argmax(0)] == np.arange(len(captions))
    count = len(captions)
    return [
        (f"Flickr8k, {count} kept out: text to picture R@1", per_cent((better < 1).mean())),
        (f"Flickr8k, {count} kept out: text to picture R@10", per_cent((better < 10).mean())),
        (f"Flickr8k, {count} kept out: picture to text R@1", per_cent(found.mean())),
    ]


def measure_own_collections(encoder: Encoder, kept: dict[str, Pictures]) -> list[Row]:
    """Test parts of collections whose training parts the model has seen."""
    rows = []
    for name, pictures in kept.items():
        head = default_head(encoder, pictures.names)
        share = accuracy(head, pictures.embeddings, pictures.labels).mean()
        rows.append((f"{name}, test part, {len(head.classes)} names: top-1", per_cent(share)))
    professions = kept["professions"]
    five = best_classes(shipped_head(encoder, "professions"), professions.embeddings)
    found = [
        bool(PROFESSION_NAMES.get(label, {label}) & set(names))
        for names, label in zip(five, professions.labels, strict=True)
    ]
    return [*rows, ("professions, test part: among five of the list", per_cent(np.mean(found)))]


def measure_calibration(
    encoder: Encoder, photographs: Photographs, caltech: Pictures, professions: Pictures
) -> list[Row]:
    """Expected calibration error of the first answer, by number of classes.

    The odd pictures only: the scales were fitted on the even ones.
    """
    heads = {
        "10 (professions)": default_head(encoder, professions.names),
        "100 (Caltech-101)": default_head(encoder, caltech.names),
        "1,000 (names)": default_head(
            encoder, [caption.name for caption in unique_names(photographs.captions)]
        ),
        "4,000 (nouns)": shipped_head(encoder, "nouns"),
    }
    right = {
        "10 (professions)": [{label} for label in professions.labels],
        "100 (Caltech-101)": [{label} for label in caltech.labels],
        "1,000 (names)": [{caption.name} for caption in photographs.captions],
        "4,000 (nouns)": [caption.words for caption in photographs.captions],
    }
    images = {
        "10 (professions)": professions.embeddings,
        "100 (Caltech-101)": caltech.embeddings,
        "1,000 (names)": photographs.pictures.embeddings,
        "4,000 (nouns)": photographs.pictures.embeddings,
    }
    rows = []
    for name, head in heads.items():
        best = [guesses.best for guesses in head.predict(images[name][1::2], k=1)]
        claimed = np.array([guess.probability for guess in best])
        pairs = zip(best, right[name][1::2], strict=True)
        is_right = np.array([guess.class_name in words for guess, words in pairs])
        error = calibration_error(claimed, is_right)
        text = f"{per_cent(error)} (claims {claimed.mean():.3f}, right {is_right.mean():.3f})"
        rows.append((f"calibration error, {name} classes", text))
    return rows


def half_of(names: list[str], seed: int = 0) -> list[str]:
    """Half of `names`, drawn at random, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]
    return [names[i] for i in sorted(chosen)]


def unique_names(captions: list[Caption]) -> list[Caption]:
    """Captions whose name no earlier one has; a head's classes must differ."""
    return list({caption.name: caption for caption in reversed(captions)}.values())[::-1]


def measure_strangers(
    encoder: Encoder, photographs: Photographs, kept: dict[str, Pictures]
) -> list[Row]:
    """ "None of these": pictures whose class is in a set against pictures whose is not."""
    rows = []
    nouns = shipped_head(encoder, "nouns")
    for name, classes, images, words in [
        (
            "nouns' halves",
            list(nouns.classes),
            photographs.pictures.embeddings,
            [caption.words for caption in photographs.captions],
        ),
        *(
            (f"{name}'s halves", each.names, each.embeddings, [{label} for label in each.labels])
            for name, each in kept.items()
        ),
    ]:
        half = half_of(classes)
        template = nouns.templates[0] if name.startswith("nouns") else DEFAULT_TEMPLATE
        head = build_zero_shot_head(encoder, half, [template], name=name)
        predictions = head.predict(images, k=1)
        best = np.array([prediction.best.similarity for prediction in predictions])
        abstains = np.array([prediction.abstains for prediction in predictions])
        inside = np.array([bool(right & set(half)) for right in words])
        rows.append(
            (
                f"none of these, {name}: AUROC; noticed / false alarms",
                f"{roc_auc_score(inside, best):.3f}; {per_cent(abstains[~inside].mean())} / "
                f"{per_cent(abstains[inside].mean())}",
            )
        )
    return rows


def measure_pictures(encoder: Encoder, data: Path) -> list[Row]:
    """Every row that needs pictures."""
    photographs = Photographs.embed(encoder, data)
    rows = measure_photographs(encoder, photographs)
    kept = {
        name: embed_held_out(encoder, data, name)
        for name in ("caltech", "professions", "dishes", "groceries")
    }
    rows += measure_caltech(encoder, kept["caltech"], photographs.captions)
    rows += measure_probe(kept["caltech"])
    rows += measure_captions(encoder, embed_held_out(encoder, data, "flickr"), data)
    rows += measure_own_collections(encoder, {k: v for k, v in kept.items() if k != "caltech"})
    rows += measure_calibration(encoder, photographs, kept["caltech"], kept["professions"])
    rows += measure_strangers(encoder, photographs, kept)
    return rows + measure_without_classes(encoder, data, photographs.captions)


def measure_without_classes(encoder: Encoder, data: Path, captions: list[Caption]) -> list[Row]:
    """The same questions with the backbone's classes switched off: what the projection knows."""
    tower = encoder.model.visual.trunk.words
    vectors = tower.class_vectors.data.clone()
    tower.class_vectors.data.zero_()
    try:
        pictures = embed_held_out(encoder, data, "imagenet_samples")
        suffix = ", the backbone's classes switched off"
        caltech = embed_held_out(encoder, data, "caltech")
        return [
            *measure_names(encoder, Photographs(pictures, captions), suffix),
            *measure_caltech(encoder, caltech, captions, suffix),
        ]
    finally:
        tower.class_vectors.data.copy_(vectors)


def measure_rare_names(encoder: Encoder, captions: list[Caption]) -> list[Row]:
    """Names that the nouns lack: whether a hypernym is among their five nearest nouns."""
    nouns = load_label_list("nouns")
    listed = set(nouns.classes)
    asked = [c for c in captions if c.name not in listed and set(c.hypernyms) & listed]
    rows = encoder.encode_texts([nouns.templates[0].format(word) for word in nouns.classes])
    found = encoder.encode_texts([nouns.templates[0].format(caption.name) for caption in asked])
    nearest = np.argsort(-(found @ rows.T), axis=1)[:, :5]
    hits = [
        any(nouns.classes[place] in caption.hypernyms for place in places)
        for places, caption in zip(nearest, asked, strict=True)
    ]
    name = f"{len(asked)} names the nouns lack: a hypernym among the five nearest nouns"
    return [(name, per_cent(np.mean(hits)))]


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
    nouns = shipped_head(encoder, "nouns")
    built = time.perf_counter() - start
    cores = len(os.sched_getaffinity(0))
    return [
        (f"load, imports done ({cores} cores)", f"{loaded:.2f} s"),
        (f"one picture of 640 × 480 ({cores} cores)", f"{1000 * one:.1f} ms"),
        (f"{len(nouns.classes):,} nouns the first time ({cores} cores)", f"{built:.2f} s"),
    ]


def measure_text(encoder: Encoder) -> list[Row]:
    """The text tower against its teacher: kept-out prompts, and the nouns' neighbours.

    Makes the teacher's corpus anew, in some minutes.
    """
    from training.corpus import build_corpus
    from training.targets import CommonParts
    from training.teacher import Teacher

    teacher = Teacher()
    corpus, held_out = build_corpus()
    sample = corpus[:30_000]  # shuffled; enough for the frames' means
    common = CommonParts.measure(sample, teacher.embed([prompt.text for prompt in sample]))
    embeddings = teacher.embed([prompt.text for prompt in held_out])
    wanted = common.take_out(embeddings, [prompt.frame for prompt in held_out])
    cosine = (encoder.encode_texts([prompt.text for prompt in held_out]) * wanted).sum(-1)
    nouns = load_label_list("nouns")
    prompts = [nouns.templates[0].format(word) for word in nouns.classes]
    shared = neighbours_shared(encoder.encode_texts(prompts), teacher.embed(prompts))
    return [
        (
            "10,000 kept-out prompts: mean cosine to the (centred) teacher",
            f"{cosine.mean():.3f}",
        ),
        (
            "nouns: share of the teacher's ten nearest among the student's",
            per_cent(shared),
        ),
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
    parser.add_argument("--data", type=Path, help="folder of the collections' git repositories")
    parser.add_argument("--part", choices=["pictures", "text", "speed"], action="append")
    options = parser.parse_args(arguments)
    parts = options.part or ["speed", "text", *(["pictures"] if options.data else [])]
    if "speed" in parts:
        show(measure_speed(options.model))
    encoder = load_encoder(options.model)
    if "pictures" in parts:
        if options.data is None:
            parser.error("--part pictures needs --data FOLDER.")
        show(measure_pictures(encoder, options.data))
        photographs = COLLECTIONS["imagenet_samples"]
        samples = photographs.photographs(photographs.open(options.data))
        show(measure_rare_names(encoder, [caption_of(each.label) for each in samples]))
    if "text" in parts:
        show(measure_text(encoder))
    if "pictures" not in parts:
        print("Give --data FOLDER for the rows about pictures.")


if __name__ == "__main__":
    main()
