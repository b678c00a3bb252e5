"""The built-in model: real photographs, and words that no picture taught it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import gradio
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from classifiers import (
    Encoder,
    HeadLibrary,
    HeadStore,
    build_zero_shot_head,
    export_encoder,
    export_head,
    load_encoder,
    load_label_list,
    open_picture,
)
from classifiers.heads.one_vs_rest import predict_independently
from classifiers.models.catalog import BUILTIN_DIR, WEIGHTS_FILE

PHOTOS = Path(gradio.__file__).parent / "media_assets" / "images"
MAX_FOLDER_BYTES = 52_000_000


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return load_encoder("builtin")


def five(encoder: Encoder, photo: str, list_id: str) -> list[str]:
    labels = load_label_list(list_id)
    head = build_zero_shot_head(encoder, labels.classes, labels.templates, name=labels.name)
    prediction = head.predict(encoder.encode_images([open_picture(PHOTOS / photo)]))[0]
    return [guess.class_name for guess in prediction]


@pytest.mark.parametrize(
    "photo, list_id, thing",
    [
        ("lion.jpg", "nouns", "lion"),
        ("lion.jpg", "animals", "lion"),
        ("cheetah1.jpg", "nouns", "cheetah"),
        ("tower.jpg", "nouns", "tower"),
    ],
)
def test_a_photograph_has_its_name_among_the_five(
    builtin: Encoder, photo: str, list_id: str, thing: str
) -> None:
    assert thing in five(builtin, photo, list_id)


@pytest.mark.parametrize(
    "photo, list_id, is_none",
    [
        ("lion.jpg", "nouns", False),
        ("lion.jpg", "animals", False),
        ("cheetah1.jpg", "nouns", False),
        ("cheetah1.jpg", "cocktails", True),
        ("cheetah1.jpg", "professions", True),
        ("tower.jpg", "animals", True),
    ],
)
def test_none_of_these_is_said_where_no_class_fits(
    builtin: Encoder, photo: str, list_id: str, is_none: bool
) -> None:
    labels = load_label_list(list_id)
    head = build_zero_shot_head(builtin, labels.classes, labels.templates, name=labels.name)
    prediction = head.predict(builtin.encode_images([open_picture(PHOTOS / photo)]))[0]
    assert prediction.abstains is is_none


def test_each_class_on_its_own_is_not_said_to_everything(builtin: Encoder, tmp_path: Path) -> None:
    library = HeadLibrary(builtin, HeadStore(tmp_path))
    head = library.create("x", ["a photo of a {}"], ("lion", "animal", "bus", "pizza", "tower"))
    picture = builtin.encode_images([open_picture(PHOTOS / "lion.jpg")])
    found = {g.class_name: g.probability for g in predict_independently(library, head, picture)[0]}
    assert found["lion"] > 0.5
    assert max(found["bus"], found["pizza"], found["tower"]) < 0.2


def test_a_classifier_of_a_few_typed_words_is_right_about_a_photograph(builtin: Encoder) -> None:
    classes = ["lion", "bus", "pizza", "guitar"]
    head = build_zero_shot_head(builtin, classes, ["This is a photo of a {}"], name="typed")
    prediction = head.predict(builtin.encode_images([open_picture(PHOTOS / "lion.jpg")]))[0]
    assert prediction.best.class_name == "lion"
    assert prediction.best.probability > 0.5


@pytest.mark.parametrize(
    "word, near, far",
    [
        ("puppy", "dog", "car"),
        ("sedan", "car", "dog"),
        ("sailing boat", "ship", "sandwich"),
        ("grandmother", "old woman", "mountain"),
        ("espresso", "coffee", "horse"),
    ],
)
def test_words_of_like_meaning_lie_near_each_other(
    builtin: Encoder, word: str, near: str, far: str
) -> None:
    prompts = [f"a photo of a {text}" for text in (word, near, far)]
    embeddings = builtin.encode_texts(prompts)
    assert embeddings[0] @ embeddings[1] > embeddings[0] @ embeddings[2]


def test_the_phone_s_files_give_the_page_s_answer(builtin: Encoder, tmp_path: Path) -> None:
    labels = load_label_list("animals")
    head = build_zero_shot_head(builtin, labels.classes, labels.templates, name=labels.name)
    picture = open_picture(PHOTOS / "lion.jpg")
    side = builtin.image_size[0]
    # What a phone does: short side to the model's size, middle square, RGB in [0, 1].
    scale = side / min(picture.size)
    width, height = (round(length * scale) for length in picture.size)
    left, top = (width - side) // 2, (height - side) // 2
    cropped = picture.resize((width, height)).crop((left, top, left + side, top + side))
    page = head.predict(builtin.encode_images([cropped]))[0]

    encoder_file = torch.jit.load(str(export_encoder(builtin, tmp_path / "encoder.pt")))
    head_file = torch.jit.load(str(export_head(head, tmp_path / "animals.pt")))
    pixels = torch.from_numpy(np.asarray(cropped, np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        probabilities, indices = head_file(encoder_file(pixels))

    assert [labels.classes[i] for i in indices[0]] == [guess.class_name for guess in page]
    np.testing.assert_allclose(
        probabilities[0].numpy(), [guess.probability for guess in page], atol=1e-5
    )


def test_the_weights_are_small_and_half_precision() -> None:
    assert sum(file.stat().st_size for file in BUILTIN_DIR.iterdir()) <= MAX_FOLDER_BYTES
    with safe_open(BUILTIN_DIR / WEIGHTS_FILE, framework="pt") as weights:
        kinds = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118
    assert torch.float32 not in kinds


def test_its_card_says_what_it_knows() -> None:
    card = json.loads((BUILTIN_DIR / "headsmith.json").read_text(encoding="utf-8"))
    assert card["summary"] and card["licence"] and card["parameters"] > 0


@pytest.mark.parametrize("photo", ["lion.jpg", "cheetah1.jpg", "tower.jpg"])
@pytest.mark.parametrize("short_side", [640, 1600, 3000])
def test_a_jpeg_decoded_smaller_means_the_same(
    builtin: Encoder, photo: str, short_side: int
) -> None:
    with Image.open(PHOTOS / photo) as small:
        factor = short_side / min(small.size)
        large = small.resize((round(small.width * factor), round(small.height * factor)))
    file = io.BytesIO()
    large.save(file, "JPEG", quality=92)
    whole = open_picture(file.getvalue())
    reduced = open_picture(file.getvalue(), for_size=builtin.image_size)
    a, b = builtin.encode_images([whole, reduced])
    assert a @ b > 1 - 1e-3
