"""The steps in order, each from files to files; what they compute is in their own modules."""

import argparse
import random

import numpy as np
import torch
from open_clip import CLIP

from classifiers import label_list_ids, load_label_list
from classifiers.encoder.builtin_tower import WordProjection
from training.architecture import (
    EMBED_DIM,
    build_model,
    encode_all,
    load_state,
    read_checkpoint,
    read_config,
)
from training.backbone import backbone_classifier
from training.captions import Caption, build_vocabulary, caption_distributions, caption_of
from training.collections import COLLECTIONS, Photograph, flickr_captions
from training.corpus import build_corpus
from training.evaluate import DEFAULT_TEMPLATE
from training.features import FEATURES, compute_view, load_views, open_backbone
from training.finish import (
    BACKGROUND_PICTURES,
    EVEN,
    HeldOut,
    assemble,
    checkpoint_config,
    fit_calibration,
    write_calibrated,
    write_uncalibrated,
)
from training.hypernyms import NAME_FRAMES, name_targets, visible_names
from training.inverted import invert
from training.labels import is_wordnet_id, label_caption
from training.projection import (
    CaptionedPictures,
    KeptTexts,
    Settings,
    Source,
    Targets,
    Trainee,
    train_projection,
)
from training.targets import CommonParts, unit
from training.teacher import Teacher, embed_corpus, load_corpus
from training.text_tower import initialise_tokens, tokenize, train_text_tower

FREQUENT_NOUNS = 6_000
NOT_SEEN = ("famous_people", "ages", "abstract_nouns")  # lists no picture here could show
VECTOR_FRAMES = ("{}", "a photo of a {}", DEFAULT_TEMPLATE)
TRAINED_ON = (
    *("flickr", "professions", "dishes", "groceries"),
    *("flags", "clothes", "styles", "tiny_imagenet"),
)
MOST_OF_A_BATCH = 6_000  # pictures of one collection that count for its share of a batch
INVERTED_FEATURES, INVERTED_WEIGHT = 20_000, 12_000
KEPT_PROMPTS = 110_000  # of the corpus, whose embeddings the text tower keeps
IMAGENET_REPEATS = 4  # of a name of the backbone's classes, in every frame


def corpus(options: argparse.Namespace) -> None:
    """Writes the sentences and what the teacher makes of them."""
    training, held_out = build_corpus()
    teacher = Teacher()
    embed_corpus(held_out, options.work / "corpus" / "held_out", teacher)
    embed_corpus(training, options.work / "corpus" / "train", teacher)


def text(options: argparse.Namespace) -> None:
    """Distils the teacher into the text tower."""
    torch.manual_seed(0)
    model = build_model(read_config(options.out))
    state_path = options.work / "text.pt"
    if load_state(state_path) is None:
        initialise_tokens(model, Teacher())
    prompts, embeddings = load_corpus(options.work / "corpus" / "train")
    common = CommonParts.measure(prompts, embeddings)
    targets = common.take_out(embeddings, [prompt.frame for prompt in prompts])
    tokens = tokenize([prompt.text for prompt in prompts], model.context_length)
    train_text_tower(model, tokens, targets.astype(np.float16), state_path, options.epochs)


def text_tower_before(options: argparse.Namespace) -> CLIP:
    """The text tower that `text` left, or that of the checkpoint `--start`."""
    folder = options.start or options.out
    model = build_model(read_config(folder))
    if options.start:
        read_checkpoint(model, folder)
    elif state := load_state(options.work / "text.pt"):
        model.load_state_dict(state["model"], strict=False)
    else:
        raise FileNotFoundError("Run the step `text` first, or name a checkpoint with --start.")
    return model.float()


def imagenet_captions() -> list[Caption]:
    """The captions of the backbone's thousand classes, in its order (that of their ids)."""
    from timm.data import ImageNetInfo

    return [caption_of(each) for each in ImageNetInfo("imagenet-1k").label_names()]


def hypernyms(options: argparse.Namespace) -> None:
    """Teaches the text tower WordNet's "is a", its other sentences beside that."""
    model = text_tower_before(options)
    names = visible_names()
    likely = frozenset(load_label_list("nouns").classes)

    def embed(words: list[str]) -> np.ndarray:
        plain, framed = (
            encode_all(model, [frame.format(word) for word in words]) for frame in NAME_FRAMES[::2]
        )
        return unit(plain + framed)

    targets = dict(zip(names, name_targets(names, embed, likely), strict=True))
    prompts = [prompt.text for prompt in build_corpus()[0][:KEPT_PROMPTS]]
    wanted = [*encode_all(model, prompts)]
    rng = random.Random(0)
    for name in names:
        prompts.append(rng.choice(NAME_FRAMES).format(name))
        wanted.append(targets[name])
    for caption in imagenet_captions():
        for name in {caption.name, *caption.synonyms} & set(names):
            for frame in NAME_FRAMES * IMAGENET_REPEATS:
                prompts.append(frame.format(name))
                wanted.append(targets[name])
    tokens = tokenize(prompts, model.context_length)
    kept = np.stack(wanted).astype(np.float16)
    state_path = options.work / "hypernyms.pt"
    train_text_tower(model, tokens, kept, state_path, options.epochs, peak_rate=4e-4)


def features(options: argparse.Namespace) -> None:
    """Writes the backbone's features of every picture, in `--views` views."""
    session = open_backbone(options.work, options.threads)
    chosen = options.collection or list(COLLECTIONS)
    for view in range(options.views):
        for name in chosen:
            if view == 0 or name in TRAINED_ON:
                compute_view(COLLECTIONS[name], options.data, options.work, view, session)


def photographs_of(options: argparse.Namespace, name: str) -> list[Photograph]:
    """The pictures of a collection, in the order of their features."""
    collection = COLLECTIONS[name]
    return collection.photographs(collection.open(options.data))


def word_vectors(model: CLIP, words: list[str]) -> np.ndarray:
    """What the text tower makes of each word, the mean over a few frames: unit rows."""
    total = sum(encode_all(model, [frame.format(w) for w in words]) for frame in VECTOR_FRAMES)
    return unit(np.asarray(total))


def projection(options: argparse.Namespace) -> None:
    """Trains class vectors, projection and text tower on the features and the captions."""
    settings = Settings(epochs=options.epochs)
    torch.manual_seed(settings.seed)
    model = build_model(read_config(options.out))
    state = load_state(options.work / "hypernyms.pt")
    if state is None:
        raise FileNotFoundError("Run the step `hypernyms` first.")
    model.load_state_dict(state["model"], strict=False)
    photographs = {name: photographs_of(options, name) for name in TRAINED_ON}
    taught = {name: [p for p in each if not p.is_held_out] for name, each in photographs.items()}
    views = {
        name: torch.from_numpy(load_views(COLLECTIONS[name], each, options.work)[0])
        for name, each in photographs.items()
    }
    labels = sorted(
        {
            p.label
            for each in taught.values()
            for p in each
            if p.label and not is_wordnet_id(p.label)
        }
    )
    captions = imagenet_captions()
    vocabulary, targets = vocabulary_targets(model, captions, labels)
    classifier = backbone_classifier()
    row_of = {label: row for row, label in enumerate(labels)}
    sources = picture_sources(views, taught, row_of, classifier)
    kept = kept_texts(model, vocabulary, captions)
    start = WordProjection(FEATURES, EMBED_DIM, settings.dropout)
    with torch.no_grad():
        start.class_vectors.copy_(
            torch.nn.functional.normalize(targets.classes @ targets.vectors, dim=-1)
        )
    said = flickr_captions(options.data)
    texts = [said[p.path.rsplit("/", 1)[1]][:5] for p in taught["flickr"]]
    tokens = tokenize([caption for five in texts for caption in five], model.context_length)
    captioned = CaptionedPictures(views["flickr"], torch.from_numpy(tokens).view(len(texts), 5, -1))
    train_projection(
        Trainee(start, classifier),
        model,
        captioned,
        sources,
        targets,
        kept,
        options.work / "projection.pt",
        settings,
    )


def listed_words() -> list[str]:
    """Every class of the shipped lists that a picture could show."""
    lists = [each for each in label_list_ids() if each not in NOT_SEEN]
    return [word for each in lists for word in load_label_list(each).classes]


def vocabulary_targets(
    model: CLIP, captions: list[Caption], labels: list[str]
) -> tuple[list[str], Targets]:
    """Every word that a picture may be called, and how much of the softmax each should get."""
    of_labels = [label_caption(label) for label in labels]
    vocabulary = build_vocabulary([*captions, *of_labels], FREQUENT_NOUNS, listed_words())
    vectors = word_vectors(model, vocabulary)
    likely = frozenset(load_label_list("nouns").classes)
    shares = caption_distributions([*captions, *of_labels], vocabulary, vectors, likely)
    known = len(captions)
    row_of = {word: row for row, word in enumerate(vocabulary)}
    names = torch.tensor([row_of[caption.name] for caption in [*captions, *of_labels]])
    return vocabulary, Targets(
        torch.from_numpy(vectors),
        torch.from_numpy(shares[:known]),
        torch.from_numpy(shares[known:]),
        names[:known],
        names[known:],
    )


def picture_sources(
    views: dict[str, torch.Tensor],
    taught: dict[str, list[Photograph]],
    row_of: dict[str, int],
    classifier: torch.nn.Linear,
) -> list[Source]:
    """The collections by their share of a batch, and inverted features of every class."""
    pool = torch.cat([each[:, 0].float() for each in views.values()])
    with torch.no_grad():
        inverted = invert(pool, classifier.weight, classifier.bias, INVERTED_FEATURES)
    weights = {name: min(len(each), MOST_OF_A_BATCH) for name, each in views.items()}
    total = sum(weights.values()) + INVERTED_WEIGHT
    sources = [
        Source(
            views[name],
            torch.tensor([row_of.get(p.label, -1) for p in taught[name]]),
            weights[name] / total,
        )
        for name in views
    ]
    unlabelled = torch.full((len(inverted),), -1)
    return [*sources, Source(inverted[:, None], unlabelled, INVERTED_WEIGHT / total)]


def kept_texts(model: CLIP, vocabulary: list[str], captions: list[Caption]) -> KeptTexts:
    """What the text tower must go on saying while it learns captions."""
    prompts = [prompt.text for prompt in build_corpus()[0][: KEPT_PROMPTS // 2]]
    prompts += [frame.format(word) for frame in VECTOR_FRAMES for word in vocabulary]
    prompts += [frame.format(c.name) for frame in VECTOR_FRAMES for c in captions] * 3
    targets = torch.from_numpy(encode_all(model, prompts))
    return KeptTexts(torch.from_numpy(tokenize(prompts, model.context_length)), targets)


def finish(options: argparse.Namespace) -> None:
    """Puts the parts together, calibrates, writes the checkpoint."""
    state = load_state(options.work / "projection.pt")
    if state is None:
        raise FileNotFoundError("Run the step `projection` first.")
    config = checkpoint_config(read_config(options.out)["model_cfg"]["text_cfg"])
    trainee = Trainee(WordProjection(FEATURES, EMBED_DIM), backbone_classifier())
    trainee.load_state_dict(state["trainee"])
    text_tower = build_model(config)
    text_tower.load_state_dict(state["text"], strict=False)
    model = assemble(trainee.eval(), text_tower, config)
    encoder = write_uncalibrated(model, config, options.out)

    def embed(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return trainee(torch.from_numpy(rows.astype(np.float32))).numpy()

    kept = {}
    for name in ("caltech", "professions", "dishes", "groceries", "imagenet_samples"):
        photographs = photographs_of(options, name)
        labels = tuple(p.label for p in photographs if p.is_held_out)[EVEN]
        rows = load_views(COLLECTIONS[name], photographs, options.work)[1][EVEN]
        kept[name] = HeldOut(embed(rows), labels)
    samples = kept.pop("imagenet_samples")
    rows = np.concatenate(
        [
            load_views(COLLECTIONS[name], photographs_of(options, name), options.work)[0][:, 0]
            for name in TRAINED_ON
        ]
    )
    chosen = np.random.default_rng(0).permutation(len(rows))[:BACKGROUND_PICTURES]
    background = embed(rows[chosen])
    captions = imagenet_captions()
    words = word_vectors(model, build_vocabulary(captions, FREQUENT_NOUNS, listed_words()))
    calibration = fit_calibration(
        encoder,
        background,
        (background @ words.T).max(1),
        kept,
        samples,
        [caption_of(label) for label in samples.labels],
    )
    print(calibration.logit_scales, calibration.closeness, calibration.quantile)
    write_calibrated(model, config, options.out, calibration)


STEPS = {
    "corpus": corpus,
    "text": text,
    "hypernyms": hypernyms,
    "features": features,
    "projection": projection,
    "finish": finish,
}
NEEDS_DATA = ("features", "projection", "finish")
