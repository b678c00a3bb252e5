"""The steps that make the built-in model, on a handful of generated pictures and words."""

import copy
import json
from argparse import Namespace

import numpy as np
import open_clip
import pytest
import torch

from training.architecture import (
    average_image_towers,
    build_model,
    encode_pictures,
    encode_tokens,
    read_config,
    write_checkpoint,
)
from training.augment import normalise, random_crops
from training.calibrate import calibration_error, fit_logit_scale, none_of_these
from training.captions import caption_of
from training.corpus import Prompt
from training.image_tower import ImageData, WordTable, train_image_tower
from training.leave_out import measure_left_out, without_classes
from training.pictures import Pictures
from training.refit import refit_projection
from training.schedule import one_cycle
from training.steps import load_towers
from training.targets import CommonParts, unit
from training.text_tower import tokenize, train_text_tower
from training.word_table import Words
from training.wordnet import WORDNET_DIRECTORY

WORDS = ["red", "green", "blue", "grey", "colour", "lamp", "river", "horse"]
COLOURS = np.array([[220, 30, 30], [30, 200, 40], [40, 40, 220], [120, 120, 120]], np.uint8)


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
    small["model_cfg"]["vision_cfg"] |= {"timm_model_name": "test_resnet", "image_size": 32}
    small["model_cfg"]["text_cfg"] |= {"width": 32, "heads": 2, "layers": 1}
    return small


@pytest.fixture
def words():
    rng = np.random.default_rng(0)
    wanted = np.full((4, len(WORDS)), 0.02, np.float32)
    wanted[np.arange(4), np.arange(4)] = 0.6
    wanted[:, 4] = 0.26  # each of the four is a colour
    wanted /= wanted.sum(1, keepdims=True)
    return Words(WORDS, unit(rng.normal(size=(len(WORDS), 384))), wanted, np.arange(4))


@pytest.fixture
def pictures():
    """160 pictures of 64 pixels, each one noisy colour."""
    rng = np.random.default_rng(1)
    rows = np.arange(160) % 4
    noise = rng.integers(-25, 25, (160, 3, 64, 64))
    pixels = np.clip(COLOURS[rows][:, :, None, None] + noise, 0, 255).astype(np.uint8)
    return ImageData(torch.from_numpy(pixels), torch.from_numpy(rows), 160, True)


def right_share(model, words, pictures):
    model.visual.eval()
    with torch.inference_mode():
        images = encode_pictures(model, normalise(pictures.pixels, 32)).numpy()
    return ((images @ words.vectors[:4].T).argmax(1) == pictures.rows.numpy()).mean()


def test_the_image_tower_learns_colours_and_resumes(config, words, pictures, tmp_path):
    torch.manual_seed(0)
    state, sources = tmp_path / "image.pt", [pictures]
    model, table = build_model(config), WordTable(words)
    first = train_image_tower(model, table, sources, state, [32], batch_size=16, peak_rate=0.05)
    assert (tmp_path / "image.pt").exists()
    model, table = build_model(config), WordTable(words)  # forgets everything but the state
    plan = [32] * 8
    last = train_image_tower(model, table, sources, state, plan, batch_size=16, peak_rate=0.05)
    assert last < first
    refit_projection(model, WordTable(words), sources, size=32, epochs=1)
    assert right_share(model, words, pictures) > 0.5  # chance is 0.25


def test_words_stay_near_the_teacher_and_carry_over_by_name(words):
    table = WordTable(words)
    scales = torch.tensor([3.5, 3.8])
    table.carry_over(WORDS, ["blue", "unheard of"], torch.ones(2, 384), scales)
    assert torch.equal(table.log_scales.detach(), scales)
    moved = table.moved.detach().abs().sum(1)
    assert moved[WORDS.index("blue")] > 0
    assert moved.sum() == moved[WORDS.index("blue")]


def test_a_class_left_out_is_not_heard_of(words):
    left = without_classes(words, np.array([0, 2]))
    assert left.vocabulary == ["green", "grey", "colour", "lamp", "river", "horse"]
    assert [left.vocabulary[name] for name in left.names] == ["green", "grey"]
    index = [WORDS.index(word) for word in left.vocabulary]
    np.testing.assert_array_equal(left.vectors, words.vectors[index])
    np.testing.assert_array_equal(left.wanted, words.wanted[[1, 3]][:, index])


def test_pictures_of_a_class_left_out_are_asked_and_never_shown(config, tmp_path, monkeypatch):
    vocabulary = [f"{letter} thing" for letter in "abcdefghijklmno"]  # 12 classes and 3 more
    rng = np.random.default_rng(0)
    vectors, wanted = unit(rng.normal(size=(15, 384))), np.full((12, 15), 1 / 15, np.float32)
    words = Words(vocabulary, vectors.astype(np.float32), wanted, np.arange(12))
    labels = np.arange(240) % 12
    pixels = np.tile((20 * labels).astype(np.uint8)[:, None, None, None], (1, 3, 64, 64))
    pictures = Pictures(pixels, labels, tuple(vocabulary[:12]))
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(
        "training.leave_out.train_image_tower",
        lambda model, table, sources, *_: shown.extend(source.pixels for source in sources),
    )
    model = build_model(config)
    share = measure_left_out(model, words, pictures, pictures, config, tmp_path, [32])
    seen = torch.cat(shown).unique().tolist()
    assert seen == [20 * label for label in range(12) if label not in (0, 10)]
    assert (tmp_path / "left-out" / "open_clip_model.safetensors").exists()
    # A class is one picture over and over, so that all of it are right or none.
    assert share in (0.0, 0.5, 1.0)


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


def test_training_goes_on_from_a_checkpoint_with_its_words_as_they_are(
    config, words, pictures, tmp_path
):
    written = build_model(config)
    write_checkpoint(written, config, tmp_path)
    words.save(tmp_path / "words.npz")
    options = Namespace(out=tmp_path, work=tmp_path, start=tmp_path, round=1)
    model, table, _ = load_towers(options, [])
    tokens = torch.randint(1, 300, (2, model.context_length))
    with torch.inference_mode():  # float16 in the file
        pairs = [encode_tokens(each, tokens) for each in (written, model)]
    torch.testing.assert_close(*pairs, atol=2e-2, rtol=2e-2)
    before = table.vectors().clone()
    train_image_tower(model, table, [pictures], tmp_path / "image.pt", [32], batch_size=16)
    torch.testing.assert_close(table.vectors(), before)


def test_image_towers_are_averaged_with_those_of_earlier_checkpoints(config, tmp_path):
    first, second, third = towers = [build_model(config) for _ in range(3)]
    folders = [tmp_path / "first", tmp_path / "second"]
    for tower, folder in zip((first, second), folders, strict=True):
        write_checkpoint(tower, config, folder)
    kept = third.text_projection.detach().clone()
    mean = torch.stack([tower.visual.head.proj.weight.detach() for tower in towers]).mean(0)
    average_image_towers(third, folders)
    torch.testing.assert_close(third.visual.head.proj.weight, mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(third.text_projection, kept)


def test_crops_are_normalised_pictures_of_the_size_asked_for():
    pixels = torch.randint(0, 255, (6, 3, 64, 64), dtype=torch.uint8)
    crops = random_crops(pixels, 40, torch.Generator().manual_seed(0))
    assert crops.shape == (6, 3, 40, 40)
    assert crops.min() > -2 and crops.max() < 2.8  # black and white after CLIP's statistics


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


def test_none_of_these_keeps_to_its_false_alarms():
    known, strangers = np.linspace(0.3, 0.8, 1001), np.linspace(0, 0.4, 1001)
    threshold, detected = none_of_these(known, strangers, false_alarms=0.1)
    assert (known < threshold).mean() == pytest.approx(0.1, abs=0.01)
    assert detected == pytest.approx(0.875, abs=0.01)


def test_the_learning_rate_rises_and_ends_at_nothing():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert max(rates) == pytest.approx(1) and rates[0] < 0.2 and rates[-1] < 0.01


@pytest.mark.skipif(not WORDNET_DIRECTORY.is_dir(), reason="WordNet is not installed")
def test_a_lion_is_called_lion_and_big_cat():
    caption = caption_of("n02129165")
    assert caption.name == "lion"
    assert "king of beasts" in caption.synonyms and "Panthera leo" not in caption.synonyms
    assert caption.hypernyms["big cat"] == 1 and "entity" not in caption.hypernyms
