"""The steps that make the built-in model, on a handful of made-up features and words."""

import copy
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from classifiers.encoder.builtin_tower import ARCHITECTURE, BACKBONE_CLASSES, WordProjection
from classifiers.models.calibration import ModelCalibration
from training.__main__ import parse_arguments
from training.architecture import (
    build_model,
    encode_all,
    encode_tokens,
    read_config,
    write_checkpoint,
)
from training.calibrate import (
    HalfSet,
    Labelled,
    balanced_accuracy,
    calibration_error,
    fit_independent,
    fit_logit_scale,
    fit_none_of_these,
)
from training.captions import caption_of
from training.collections import (
    CollectionMissingError,
    Photograph,
    Repository,
    at_most,
    grocery_name,
    is_held_out_flickr,
    tidy_caption,
)
from training.corpus import Prompt
from training.evaluate import half_of, neighbours_shared, outside_imagenet
from training.hypernyms import hypernym_share, name_targets
from training.inverted import SMALLEST_MARGIN, invert
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
from training.schedule import one_cycle
from training.targets import CommonParts, unit
from training.text_tower import tokenize, train_text_tower
from training.wordnet import WORDNET_DIRECTORY

WORDS = ["red", "green", "blue", "grey", "colour", "lamp", "river", "horse"]
needs_wordnet = pytest.mark.skipif(
    not WORDNET_DIRECTORY.is_dir(), reason="WordNet is not installed"
)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that wait for each other are slower than one on so little work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config():
    small = copy.deepcopy(read_config())
    small["model_cfg"]["vision_cfg"] = {
        "timm_model_name": "test_resnet",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 32,
    }
    small["model_cfg"]["text_cfg"] |= {"width": 32, "heads": 2, "layers": 1}
    return small


def unit_rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, width)))


def test_inverted_features_are_led_by_classes_no_picture_shows():
    torch.manual_seed(0)
    weight, bias = torch.randn(50, 64), torch.zeros(50)
    real = torch.rand(20, 64)
    moved = invert(real, weight, bias, 300)
    logits = (moved @ weight.T + bias).sort(-1, descending=True)
    lead = logits.values[:, 0] - logits.values[:, 1]
    assert moved.min() >= 0
    assert (lead > 0.5 * SMALLEST_MARGIN).float().mean() > 0.95
    assert len(logits.indices[:, 0].unique()) > 45  # the real ones are led by a few
    assert (real @ weight.T).argmax(-1).unique().numel() < 20


class Bench:
    """Pictures of four colours as features, captions that name them, a small text tower."""

    def __init__(self, config: dict) -> None:
        torch.manual_seed(0)
        self.text = build_model(config)
        features, width = 32, 384
        classifier = torch.nn.Linear(features, BACKBONE_CLASSES)
        with torch.no_grad():
            classifier.weight.mul_(0.01)
        self.trainee = Trainee(WordProjection(features, width), classifier)
        centres = torch.rand(4, features) * 4
        self.labels = torch.arange(96) % 4
        self.features = (centres[self.labels] + 0.1 * torch.rand(96, features))[:, None]
        texts = [f"a {WORDS[label]} thing" for label in self.labels]
        tokens = tokenize(texts, self.text.context_length)
        self.captioned = CaptionedPictures(self.features, torch.from_numpy(tokens)[:, None])
        vectors = torch.from_numpy(encode_all(self.text, WORDS))
        everything = torch.full((BACKBONE_CLASSES, len(WORDS)), 1 / len(WORDS))
        classes = torch.zeros(BACKBONE_CLASSES, dtype=torch.long)
        self.targets = Targets(
            vectors, everything, torch.eye(4, len(WORDS)), classes, torch.arange(4)
        )
        kept_tokens = torch.from_numpy(tokenize(WORDS, self.text.context_length))
        self.kept = KeptTexts(kept_tokens, vectors)

    def train(self, state: Path, epochs: int) -> None:
        settings = Settings(
            epochs=epochs, caption_batch=32, picture_batch=32, text_batch=8, label_share=1.0
        )
        train_projection(
            self.trainee,
            self.text,
            self.captioned,
            [Source(self.features, self.labels, 1.0)],
            self.targets,
            self.kept,
            state,
            settings,
        )

    def share_named(self) -> float:
        with torch.inference_mode():
            images = self.trainee(self.features[:, 0])
        found = (images @ self.targets.vectors.T).argmax(1)
        return (found == self.labels).float().mean().item()


def test_the_projection_learns_what_pictures_are_called_and_resumes(config, tmp_path):
    bench = Bench(config)
    before = bench.share_named()
    bench.train(tmp_path / "projection.pt", epochs=10)
    assert bench.share_named() > 0.95 > 0.6 > before
    again = Bench(config)
    again.train(tmp_path / "projection.pt", epochs=10)  # nothing is left to do
    assert again.share_named() == bench.share_named()
    kept = torch.load(tmp_path / "projection.pt", weights_only=True)
    assert kept["settings"]["epochs"] == 10 and kept["step"] == 30


def test_the_text_tower_keeps_what_it_said_while_it_learns_captions(config, tmp_path):
    bench = Bench(config)
    bench.train(tmp_path / "projection.pt", epochs=10)
    now = encode_all(bench.text, WORDS)
    assert (now * bench.kept.targets.numpy()).sum(-1).mean() > 0.97


def test_a_picture_is_projected_as_the_product_s_tower_does(config):
    """Training works on features; the tower in the product starts from pixels."""
    torch.manual_seed(0)
    trainee = Trainee(WordProjection(32, 384), torch.nn.Linear(32, BACKBONE_CLASSES)).eval()
    trainee.projection.class_vectors.data.normal_()
    features = torch.rand(5, 32)
    logits = trainee.classifier(features)
    ours = torch.nn.functional.normalize(trainee.projection(features, logits), dim=-1)
    torch.testing.assert_close(trainee(features), ours)


def test_the_built_in_architecture_is_built_by_name_and_takes_any_width():
    import timm

    torch.manual_seed(0)
    tower = timm.create_model(ARCHITECTURE, num_classes=24).eval()
    with torch.inference_mode():
        assert tower(torch.zeros(2, 3, 64, 64)).shape == (2, 24)
    with pytest.raises(ValueError, match="weights come with the model"):
        timm.create_model(ARCHITECTURE, pretrained=True)


def test_the_text_tower_learns_directions_and_resumes(config, tmp_path):
    torch.manual_seed(0)
    model = build_model(config)
    texts = [f"{frame} {word}" for frame in ("a", "the", "my", "one") for word in WORDS]
    tokens = tokenize(texts, model.context_length)
    targets = unit(np.random.default_rng(0).normal(size=(len(WORDS), 384)))
    targets = np.tile(targets, (4, 1)).astype(np.float16)
    state = tmp_path / "text.pt"
    settings = {"batch_size": 8, "peak_rate": 3e-3}
    first = train_text_tower(model, tokens, targets, state, epochs=1, **settings)
    last = train_text_tower(build_model(config), tokens, targets, state, epochs=12, **settings)
    assert last < 0.8 * first


def test_tokens_cut_to_the_batch_give_what_open_clip_gives(config):
    model = build_model(config).eval()
    tokens = open_clip.SimpleTokenizer(context_length=48)(["a cat", "a photo of a spotted owl"])
    with torch.inference_mode():
        torch.testing.assert_close(  # the same numbers, summed in another order
            encode_tokens(model, tokens), model.encode_text(tokens), atol=1e-5, rtol=1e-4
        )


def test_a_written_checkpoint_loads_through_open_clip_and_the_product(config, tmp_path):
    from PIL import Image

    from classifiers import load_encoder

    write_checkpoint(build_model(config), config, tmp_path)
    (tmp_path / "headsmith.json").write_text(json.dumps({"name": "Small"}))
    name = f"local-dir:{tmp_path}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    picture = Image.new("RGB", (90, 70), "red")
    tokens = open_clip.get_tokenizer(name)(["a cat"])
    model.eval()
    with torch.inference_mode():
        image = model.encode_image(preprocess(picture)[None], normalize=True)
        text = model.encode_text(tokens, normalize=True)
    assert image.shape == text.shape == (1, 384)
    encoder = load_encoder(name)
    np.testing.assert_allclose(encoder.encode_texts(["a cat"]), text.numpy(), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_images([picture]), axis=1), 1, 1e-5)


def test_a_neutral_frame_says_nothing_and_a_speaking_one_something():
    rng = np.random.default_rng(0)
    lion, tiger, photo, drawing = rng.normal(size=(4, 384))
    frames = ["{}", "{}", "a photo of a {}", "a photo of a {}"] + ["a drawing of a {}"] * 2
    rows = np.stack(
        [lion, tiger, lion + photo, tiger + photo, lion + drawing, tiger + drawing]
    ).astype(np.float32)
    prompts = [Prompt("", frame) for frame in frames]
    centred = CommonParts.measure(prompts, rows).take_out(rows, frames)
    assert centred[0] @ centred[2] > 0.999
    assert centred[4] @ centred[0] < 0.99
    assert centred[4] @ unit(drawing) > 0.2


def test_the_fitted_temperature_is_the_one_that_made_the_answers():
    rng = np.random.default_rng(0)
    similarities = rng.uniform(-0.3, 0.7, (4000, 20))
    logits = 12 * similarities + rng.gumbel(size=similarities.shape)  # samples softmax(12 s)
    answers = np.eye(20, dtype=bool)[logits.argmax(1)]
    assert fit_logit_scale([(similarities, answers)]) == pytest.approx(12, rel=0.1)


def test_calibration_error_is_the_gap_between_claim_and_truth():
    claimed = np.full(1000, 0.9)
    assert calibration_error(claimed, np.arange(1000) < 900) == pytest.approx(0, abs=1e-9)
    assert calibration_error(claimed, np.arange(1000) < 400) == pytest.approx(0.5)


@pytest.fixture
def uncalibrated() -> ModelCalibration:
    """A background of pictures that show one of 40 words, each a little off it."""
    words = unit_rows(40, 32)
    rng = np.random.default_rng(1)
    pictures = unit(words[rng.integers(40, size=400)] + 0.1 * rng.normal(size=(400, 32)))
    return ModelCalibration(
        pictures, (pictures @ words.T).max(1), ((10, 20.0),), 0.8, 0.9, (0.0, 0.0, 0.0, 0.0)
    )


def test_none_of_these_is_fitted_to_tell_inside_from_outside(uncalibrated):
    words = unit_rows(40, 32)
    rng = np.random.default_rng(2)
    truth = rng.integers(40, size=400)
    images = unit(words[truth] + 0.1 * rng.normal(size=(400, 32)))
    half_sets = [HalfSet(words[:20], images, truth < 20), HalfSet(words[30:], images, truth >= 30)]
    fitted = fit_none_of_these(uncalibrated, half_sets)
    for each in half_sets:
        assert balanced_accuracy(fitted.abstain_below(each.weights), each) > 0.9


def test_balanced_accuracy_counts_both_kinds_of_picture_alike():
    weights, images = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    half_set = HalfSet(weights, images, np.array([True, False, False]))
    assert balanced_accuracy(0.5, half_set) == 1.0
    assert balanced_accuracy(-1.0, half_set) == 0.5  # keeps everything


def test_each_class_on_its_own_is_fitted_to_one_answer_in_five(uncalibrated):
    words = unit_rows(40, 32)
    rng = np.random.default_rng(3)
    truth = rng.integers(40, size=500)
    images = unit(words[truth] + 0.25 * rng.normal(size=(500, 32)))
    fitted = fit_independent(uncalibrated, [Labelled(words, images, truth)])
    shares = 1 / (
        1 + np.exp(-fitted.independent_logits(images @ words.T, fitted.independent_bias(words)))
    )
    own = shares[np.arange(500), truth]
    assert own.mean() > 0.7
    assert (shares.sum(1) - own).mean() / 39 < 0.1
    assert replace(fitted, independent=(0.0, 0.0, 0.0, 0.0)).independent != fitted.independent


def test_half_of_the_names_is_always_the_same_half():
    names = [f"name {n}" for n in range(20)]
    assert half_of(names) == half_of(names) and len(half_of(names)) == 10
    assert half_of(names) != half_of(names, seed=1)
    assert [name for name in names if name in half_of(names)] == half_of(names)


def test_neighbours_are_shared_by_those_that_lie_alike():
    rows = unit_rows(40, 16)
    assert neighbours_shared(rows, rows) == 1.0
    assert neighbours_shared(rows, unit_rows(40, 16, seed=9)) < 0.6


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A bare repository of three files, where `git clone --bare` puts it."""
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a b.jpg").write_bytes(b"first")
    (source / "images" / "empty.jpg").write_bytes(b"")
    (source / "labels.csv").write_text("image,label")
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Three files"]):
        subprocess.run([*git, *command], cwd=source, check=True)
    folder = tmp_path / "owner+name"
    subprocess.run(["git", "clone", "-q", "--bare", source, folder], check=True)
    return Repository(tmp_path, "owner/name")


def test_a_collection_is_read_without_being_unpacked(repository: Repository):
    files = dict(repository.files())
    assert list(files) == ["images/a b.jpg", "images/empty.jpg", "labels.csv"]
    assert repository.read("labels.csv") == b"image,label"
    blobs = [files["images/empty.jpg"], files["images/a b.jpg"], files["labels.csv"]]
    assert list(repository.read_blobs(blobs)) == [b"", b"first", b"image,label"]


def test_a_missing_collection_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(CollectionMissingError, match=r"git clone --bare .*/owner/name"):
        Repository(tmp_path, "owner/name")


def test_an_eighth_of_flickr8k_is_held_out_by_its_name():
    names = [f"{n}.jpg" for n in range(4000)]
    assert np.mean([is_held_out_flickr(name) for name in names]) == pytest.approx(1 / 8, abs=0.02)
    # Their SHA-1 begin with 0, 1, 2 and a.
    assert [is_held_out_flickr(f"{n}.jpg") for n in (2, 16, 11, 1)] == [True, True, False, False]


def test_a_caption_ends_without_the_tokenizer_s_blanks():
    assert tidy_caption("A dog  runs .") == "A dog runs"


def test_at_most_so_many_of_a_label_are_taught_and_all_that_are_held_out():
    many = [Photograph(f"{n:02d}", "", "dog", n % 5 == 0) for n in range(20)]
    many.append(Photograph("x", "", "cat", False))
    kept = at_most(3, many)
    assert sum(each.label == "dog" and not each.is_held_out for each in kept) == 3
    assert sum(each.is_held_out for each in kept) == 4
    assert kept[-1].label == "cat"


@pytest.mark.parametrize(
    "path, name",
    [
        ("Fruit/Apple/Pink-Lady", "Pink Lady apple"),
        ("Fruit/Banana", "Banana"),
        ("Packages/Milk/Arla-Standard-Milk", "Arla Standard Milk"),
    ],
)
def test_a_grocery_is_called_what_a_person_calls_it(path: str, name: str):
    assert grocery_name(path) == name


@needs_wordnet
def test_labels_say_what_they_are_kinds_of():
    assert "fruit" in " ".join(label_caption("mango").hypernyms)
    assert label_caption("painting of a dog").hypernyms == {"painting": 1, "dog": 1}
    assert label_caption("flag of Chad").hypernyms == {"flag": 1}
    assert label_caption("Pink Lady apple").hypernyms["apple"] == 1
    assert is_wordnet_id("n02129165") and not is_wordnet_id("nightgown")


@needs_wordnet
def test_a_rare_name_moves_to_what_it_is_a_kind_of():
    assert hypernym_share("komondor") > 0.6 > 0.2 > hypernym_share("dog")
    words = ["komondor", "dog", "animal", "sauerkraut"]
    table = dict(zip(words, np.eye(4, dtype=np.float32), strict=True))

    def embed(asked: list[str]) -> np.ndarray:
        return np.stack([table[word] for word in asked])

    rare, common = name_targets({"komondor": {"dog": 1}, "dog": {"animal": 1}}, embed)
    assert rare @ table["dog"] > rare @ table["komondor"]
    assert common @ table["dog"] > 0.9


@needs_wordnet
def test_names_of_which_imagenet_has_no_class_are_told_apart():
    captions = [caption_of("n02129165"), caption_of("n03393912")]
    assert outside_imagenet(["lion", "mountain lion", "lotus"], captions) == {"lotus"}


def test_a_step_refuses_flags_that_are_not_its_own(tmp_path: Path, capsys):
    work = ["--work", str(tmp_path)]
    assert parse_arguments(["projection", *work, "--data", "d", "--epochs", "2"]).epochs == 2
    for wrong in (["corpus", *work, "--epochs", "2"], ["features", *work], ["corpus"]):
        with pytest.raises(SystemExit):
            parse_arguments(wrong)
    assert "--data" in capsys.readouterr().err


def test_the_learning_rate_rises_and_ends_at_nothing():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert max(rates) == pytest.approx(1) and rates[0] < 0.2 and rates[-1] < 0.01


@needs_wordnet
def test_a_lion_is_called_lion_and_big_cat():
    caption = caption_of("n02129165")
    assert caption.name == "lion"
    assert "king of beasts" in caption.synonyms and "Panthera leo" not in caption.synonyms
    assert caption.hypernyms["big cat"] == 1 and "entity" not in caption.hypernyms
