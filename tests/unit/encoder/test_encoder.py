"""Pictures and texts become unit rows, with open_clip's own numbers."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from classifiers.encoder import encoder as encoder_module
from classifiers.encoder.causal_text import CausalTextTower
from classifiers.encoder.encoder import Encoder
from classifiers.encoder.load import load_encoder, load_encoder_from
from classifiers.errors import ModelError
from classifiers.images import open_picture
from classifiers.models.catalog import BUILTIN_DIR, CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, find_model

ROUNDING = 1e-5  # float32 sums in another order; the rows have length 1

# Of very different lengths, so that none stands where it was typed once sorted by length.
TEXTS = [
    "a photo of a very small grey cat that sleeps in the sun",
    "cat",
    "a photo of a dog",
    "",
    "猫",
    "👩‍👩‍👧‍👦",
    "word " * 300,
    "a photo of a goldfish",
]


@pytest.fixture(scope="module")
def pictures(photo: Path) -> list[Image.Image]:
    lion = open_picture(photo)
    return [lion, lion.resize((40, 90)), lion.crop((0, 0, 30, 20)), Image.new("RGB", (1, 1), "red")]


def reference(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """The uncut way: open_clip's tokenizer and `encode_text`, and nothing of ours."""
    tokens = open_clip.get_tokenizer(encoder.model_name)(texts, encoder.context_length)
    with torch.inference_mode():
        return F.normalize(encoder.model.encode_text(tokens), dim=-1).numpy()


def test_embeddings_are_float32_unit_rows(encoder: Encoder, pictures: list[Image.Image]) -> None:
    for rows, n in [(encoder.encode_images(pictures), 4), (encoder.encode_texts(TEXTS), 8)]:
        assert rows.dtype == np.float32 and rows.shape == (n, 48)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)  # float32


def test_nothing_in_gives_nothing_of_the_right_width(encoder: Encoder) -> None:
    for rows in (encoder.encode_images([]), encoder.encode_texts([])):
        assert rows.shape == (0, 48) and rows.dtype == np.float32
    assert encoder.cut_texts([]) == []


def test_shortened_text_encoding_gives_open_clip_s_own_numbers(encoder: Encoder) -> None:
    np.testing.assert_allclose(
        encoder.encode_texts(TEXTS), reference(encoder, TEXTS), atol=ROUNDING
    )


def test_texts_are_shortened_where_that_changes_nothing(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = []
    original = CausalTextTower.encode

    def spy(tower: CausalTextTower, tokens: torch.Tensor) -> torch.Tensor:
        lengths.append(tokens.shape[1])
        return original(tower, tokens)

    monkeypatch.setattr(CausalTextTower, "encode", spy)
    encoder.encode_texts(["cat"])
    assert lengths == [3], "start, “cat” and end are all that has to be read"


def test_a_text_tower_that_reads_both_ways_is_not_cut(sigmoid_encoder: Encoder) -> None:
    got = sigmoid_encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(got, reference(sigmoid_encoder, TEXTS), atol=ROUNDING)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_embedding_stands_where_its_text_stood(
    batch: int, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    monkeypatch.setattr(encoder_module, "TEXT_BATCH", batch)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), alone, atol=ROUNDING)


def test_pictures_keep_their_order_over_several_batches(
    encoder: Encoder, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = np.concatenate([encoder.encode_images([picture]) for picture in pictures])
    monkeypatch.setattr(encoder_module, "IMAGE_BATCH", 3)
    np.testing.assert_allclose(encoder.encode_images(pictures), alone, atol=ROUNDING)


def test_pictures_give_open_clip_s_own_numbers(
    encoder: Encoder, pictures: list[Image.Image]
) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(encoder.model_name)
    with torch.inference_mode():
        batch = torch.stack([preprocess(picture) for picture in pictures])
        expected = F.normalize(model.eval().encode_image(batch), dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_images(pictures), expected, atol=ROUNDING)


def test_progress_is_told_after_each_batch_and_may_stop_the_work(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_module, "TEXT_BATCH", 3)
    calls: list[tuple[int, int]] = []
    encoder.encode_texts(TEXTS, lambda *call: calls.append(call))
    assert calls == [(3, 8), (6, 8), (8, 8)]

    def stop(done: int, total: int) -> None:
        calls.append((done, total))
        raise KeyError("stop")

    calls.clear()
    with pytest.raises(KeyError, match="stop"):
        encoder.encode_texts(TEXTS, stop)
    assert calls == [(3, 8)], "it went on after it was told to stop"


def test_exactly_the_texts_that_are_cut_are_named(encoder: Encoder) -> None:
    # "cat" is one token; start and end take two of the 24 that the model reads.
    fits, longer = "cat " * 22, "cat " * 23
    assert encoder.cut_texts(["cat", fits, longer, "", "dog " * 300]) == [longer, "dog " * 300]
    assert not np.allclose(*encoder.encode_texts([fits, "cat " * 21]), atol=1e-3)
    # What is beyond the end has no influence, which is what “cut” means.
    np.testing.assert_allclose(*encoder.encode_texts([longer, "cat " * 40]), atol=ROUNDING)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (3, 5_000)])
def test_a_picture_as_thin_as_a_thread_is_encoded_at_once(
    size: tuple[int, int], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    resized: list[int] = []
    resize = Image.Image.resize

    def spy(self: Image.Image, size: tuple[int, int], *args: object, **more: object) -> Image.Image:
        resized.append(size[0] * size[1])
        return resize(self, size, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", spy)
    started = time.monotonic()
    row = encoder.encode_images([Image.new("RGB", size, "red")])
    # Milliseconds; resizing the short side of the whole strip would take 20 million pixels.
    assert time.monotonic() - started < 2.0
    assert resized and max(resized) <= 32 * 32 * encoder_module.MAX_ASPECT_RATIO
    square = encoder.encode_images([Image.new("RGB", (32, 32), "red")])
    np.testing.assert_allclose(row, square, atol=1e-4)  # bicubic rounding of a flat colour


def test_the_middle_of_a_panorama_is_what_is_seen(encoder: Encoder) -> None:
    panorama = Image.new("RGB", (3_200, 32), "blue")
    panorama.paste("red", (1_500, 0, 1_700, 32))
    red = encoder.encode_images([Image.new("RGB", (32, 32), "red")])
    np.testing.assert_allclose(encoder.encode_images([panorama]), red, atol=ROUNDING)


def test_several_threads_at_once_get_the_same_numbers(
    encoder: Encoder, pictures: list[Image.Image]
) -> None:
    def work(_: int) -> tuple[np.ndarray, np.ndarray]:
        return encoder.encode_images(pictures), encoder.encode_texts(TEXTS)

    expected = work(0)
    with ThreadPoolExecutor(4) as pool:
        for images, texts in pool.map(work, range(12)):
            np.testing.assert_allclose(images, expected[0], atol=ROUNDING)
            np.testing.assert_allclose(texts, expected[1], atol=ROUNDING)


def test_whoever_asks_one_thread_computes(
    encoder: Encoder, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def noted(work: Callable[..., object]) -> Callable[..., object]:
        def and_remembered(*arguments: object) -> object:
            threads.add(threading.get_ident())
            return work(*arguments)

        return and_remembered

    monkeypatch.setattr(encoder, "_encode_pixels", noted(encoder._encode_pixels))
    monkeypatch.setattr(encoder, "_encode_tokens", noted(encoder._encode_tokens))
    encoder.encode_texts(["cat"])
    encoder.encode_images(pictures)
    encoder.encode_images(pictures[:1])
    with ThreadPoolExecutor(2) as callers:
        callers.submit(encoder.encode_texts, ["dog"])
        callers.submit(encoder.encode_images, pictures[:1])
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_the_encoder_knows_how_its_model_wants_pictures_and_scores(
    encoder: Encoder, sigmoid_encoder: Encoder
) -> None:
    assert encoder.embed_dim == 48 and encoder.image_size == (32, 32)
    assert encoder.mean == (0.5, 0.5, 0.5) and encoder.std == (0.25, 0.25, 0.25)
    assert encoder.context_length == 24
    # open_clip begins at a temperature of 0.07 (Radford et al. 2021, section 2.5).
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert (encoder.logit_bias, encoder.activation) == (0.0, "softmax")
    assert (sigmoid_encoder.logit_bias, sigmoid_encoder.activation) == (-10.0, "sigmoid")
    assert len(encoder.fingerprint) == 16
    assert encoder.fingerprint != sigmoid_encoder.fingerprint


# -------------------------------------------------------------------------------- models


@pytest.fixture
def copied_model(tiny_model: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model.removeprefix("local-dir:"), tmp_path / "model"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "/",
        "ViT-B-32/",
        "nosuch/openai",
        "ViT-B-32/nosuch",
        "local-dir:",
        "local-dir:/no/such/folder",
        "hf-hub:",
    ],
)
def test_a_model_name_that_means_nothing_is_refused_with_a_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", _no_network)
    with pytest.raises(ModelError) as caught:
        load_encoder(name)
    assert len(str(caught.value)) < 300, "a person has to read it"


def _no_network(*_: object) -> None:
    raise AssertionError("asked the network")


def test_a_tag_that_is_a_path_does_not_open_the_file(tmp_path: Path) -> None:
    import pickle

    mark = tmp_path / "it_ran"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (mark,)

    (tmp_path / "upload.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError):
        load_encoder(f"ViT-B-32/{tmp_path / 'upload.pt'}")
    assert not mark.exists(), "an uploaded file was executed"


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_of_a_model_is_named(file: str, copied_model: Path) -> None:
    (copied_model / file).unlink()
    with pytest.raises(ModelError, match=file):
        load_encoder(f"local-dir:{copied_model}")


@pytest.mark.parametrize("n_bytes", [0, 7, 5_000, 1_000_000])
def test_weights_that_are_cut_off_are_a_model_error(n_bytes: int, copied_model: Path) -> None:
    weights = copied_model / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:n_bytes])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(f"local-dir:{copied_model}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{", ""),
        ('"embed_dim": 48', '"embed_dim": 40'),
        ('"resnet10t"', '"nosuch"'),
        ('"width"', '"girth"'),
        ('"model_cfg"', '"cfg"'),
    ],
)
def test_a_configuration_that_does_not_fit_is_a_model_error(
    before: str, after: str, copied_model: Path
) -> None:
    config = copied_model / CONFIG_FILE
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))
    with pytest.raises(ModelError):
        load_encoder(f"local-dir:{copied_model}")


def test_a_model_s_card_says_what_it_is(copied_model: Path) -> None:
    (copied_model / CARD_FILE).write_text('{"name": "Tiny", "summary": "Knows nothing."}')
    encoder = load_encoder(f"local-dir:{copied_model}")
    assert (encoder.card.title, encoder.card.summary) == ("Tiny", "Knows nothing.")


def test_a_damaged_card_is_a_model_error(copied_model: Path) -> None:
    (copied_model / CARD_FILE).write_text("{")
    with pytest.raises(ModelError, match=CARD_FILE):
        load_encoder(f"local-dir:{copied_model}")


def test_new_weights_under_the_old_name_have_another_fingerprint(
    encoder: Encoder, copied_model: Path
) -> None:
    from safetensors.torch import load_file, save_file

    assert load_encoder(f"local-dir:{copied_model}").fingerprint == encoder.fingerprint
    weights = load_file(copied_model / WEIGHTS_FILE)
    weights["logit_scale"] = weights["logit_scale"] + 1.0
    save_file(weights, copied_model / WEIGHTS_FILE)
    changed = load_encoder(f"local-dir:{copied_model}")
    assert changed.fingerprint != encoder.fingerprint
    assert changed.logit_scale == pytest.approx(encoder.logit_scale * np.e, rel=1e-5)


TINY_VIT = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 1,
            "layers": 1,
        },
    },
    "preprocess_cfg": {},
}


@pytest.mark.parametrize(
    ("name", "quick"), [("ViT-B-32/openai", True), ("ViT-B-32/laion2b_s34b_b79k", False)]
)
def test_openai_s_weights_are_used_with_the_activation_they_were_trained_with(
    name: str, quick: bool, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    cfg = TINY_VIT["model_cfg"]
    model = open_clip.CLIP(cfg["embed_dim"], cfg["vision_cfg"], cfg["text_cfg"])
    save_file(model.state_dict(), tmp_path / WEIGHTS_FILE)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(TINY_VIT))

    encoder = load_encoder_from(find_model(name), tmp_path)
    kinds = {type(module).__name__ for module in encoder.model.modules()}
    assert ("QuickGELU" in kinds) is quick, "answers would be quietly worse"


@pytest.mark.skipif(
    not (BUILTIN_DIR / WEIGHTS_FILE).is_file(), reason="the built-in model is not trained yet"
)
def test_the_built_in_model_loads_with_its_promised_sizes() -> None:
    encoder = load_encoder("builtin")
    assert (encoder.embed_dim, encoder.context_length) == (384, 48)
    assert encoder.card.title != "builtin", "the page has no name to show for it"


# How long one waits for another


def test_long_prompts_come_in_batches_of_few_tokens_with_the_same_numbers(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's picture waits for one batch, whose time its tokens make."""
    texts = [f"{'a long tale of ' * (n % 7)} thing {n}" for n in range(600)]
    shapes: list[tuple[int, ...]] = []
    encode = encoder._encode_tokens

    def noted(tokens: np.ndarray) -> np.ndarray:
        shapes.append(tokens.shape)
        return encode(tokens)

    monkeypatch.setattr(encoder, "_encode_tokens", noted)
    rows = encoder.encode_texts(texts)
    assert max(n * length for n, length in shapes) <= encoder_module.TEXT_BATCH_TOKENS
    assert max(n for n, _ in shapes) <= encoder_module.TEXT_BATCH
    assert sum(n for n, _ in shapes) == len(texts)
    n_batches = len(shapes)
    monkeypatch.setattr(encoder_module, "TEXT_BATCH_TOKENS", 10**9)
    unbounded = encoder.encode_texts(texts)
    assert len(shapes) - n_batches < n_batches, "no batch was bounded"
    # The same sums for each text, whatever shares its batch: float32, of length 1.
    np.testing.assert_allclose(rows, unbounded, atol=1e-6)


def test_a_text_of_more_tokens_than_a_batch_holds_is_a_batch_of_its_own(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoder.encode_texts(TEXTS)
    monkeypatch.setattr(encoder_module, "TEXT_BATCH_TOKENS", 1)
    calls: list[tuple[int, int]] = []
    rows = encoder.encode_texts(TEXTS, lambda done, total: calls.append((done, total)))
    assert calls == [(n + 1, len(TEXTS)) for n in range(len(TEXTS))]
    np.testing.assert_allclose(rows, expected, atol=1e-6)  # float32


def test_a_picture_is_answered_while_two_long_builds_run(
    encoder: Encoder, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each build goes on from batch to batch until the picture's answer is there."""
    answered = threading.Event()
    encode, n_batches = encoder._encode_tokens, 0

    def counted(tokens: np.ndarray) -> np.ndarray:
        nonlocal n_batches
        n_batches += 1
        return encode(tokens)

    monkeypatch.setattr(encoder, "_encode_tokens", counted)
    begun = [threading.Event(), threading.Event()]

    def build(number: int) -> int:
        n_rounds = 0
        while not answered.is_set() and n_rounds < 5_000:
            encoder.encode_texts([f"thing {number} {n_rounds}"])
            n_rounds += 1
            begun[number].set()
        return n_rounds

    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(build, number) for number in range(2)]
        for event in begun:
            assert event.wait(30)
        before = n_batches
        encoder.encode_images(pictures[:1])
        waited = n_batches - before
        answered.set()
        assert all(build.result(60) < 5_000 for build in builds), "it waited for a whole build"
    # One batch computes and one is in line for each build; as many again begin while it counts.
    assert waited <= 6
