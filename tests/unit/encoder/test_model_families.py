"""One small model of each family: our numbers are open_clip's own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub import constants
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from small_models import FAMILIES, PREPROCESSING, make_model

from classifiers.encoder.encoder import Encoder
from classifiers.encoder.load import load_encoder, load_encoder_from
from classifiers.encoder.padded_text import PaddedTextTower
from classifiers.errors import ModelError
from classifiers.export.export import export_head
from classifiers.heads.head import Head
from classifiers.heads.zero_shot import build_zero_shot_head
from classifiers.models.catalog import ModelSource

TOLERANCE = 1e-5  # float32: batches and cut prompts change the order of additions
WORDS = ["cat", "dog", "a photo of a goldfish", "кошка", "a", "猫"]


@dataclass
class Pair:
    """A model as open_clip computes it, and as we load it from its folder."""

    theirs: Any
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]
    ours: Encoder

    def images(self, pictures: list[Image.Image]) -> torch.Tensor:
        with torch.inference_mode():
            pixels = torch.stack([self.preprocess(picture) for picture in pictures])
            return self.theirs.encode_image(pixels, normalize=True)

    def texts(self, texts: list[str]) -> torch.Tensor:
        with torch.inference_mode():
            return self.theirs.encode_text(self.tokenizer(texts), normalize=True)


@pytest.fixture(scope="module", autouse=True)
def no_hub(tmp_path_factory: pytest.TempPathFactory):
    """Any request is an error, and the cache is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("empty-cache")))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("family")
    return make_pair(folder, FAMILIES[request.param], PREPROCESSING.get(request.param, {}))


def make_pair(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any]) -> Pair:
    theirs = make_model(folder, config, preprocessing)
    settings = merge_preprocess_dict(PreprocessCfg(size=theirs.visual.image_size), preprocessing)
    return Pair(
        theirs,
        image_transform_v2(PreprocessCfg(**settings), is_train=False),
        open_clip.get_tokenizer(f"local-dir:{folder}"),
        load_encoder(f"local-dir:{folder}"),
    )


@pytest.fixture(scope="module")
def pictures(photo: Path) -> list[Image.Image]:
    lion = Image.open(photo).convert("RGB")
    return [lion, lion.crop((40, 10, 200, 180)), Image.new("RGB", (50, 90), (200, 40, 90))]


def test_image_embeddings_are_open_clip_s(pair: Pair, pictures: list[Image.Image]) -> None:
    ours = pair.ours.encode_images(pictures)
    assert ours.shape == (3, pair.ours.embed_dim)
    np.testing.assert_allclose(ours, pair.images(pictures).numpy(), atol=TOLERANCE)


def test_text_embeddings_are_open_clip_s(pair: Pair) -> None:
    texts = [*WORDS, "a very long sentence about nothing that goes on and on " * 3]
    ours = pair.ours.encode_texts(texts)
    np.testing.assert_allclose(ours, pair.texts(texts).numpy(), atol=TOLERANCE)


def test_probabilities_are_those_of_the_model_s_own_scale_and_bias(
    pair: Pair, pictures: list[Image.Image]
) -> None:
    head = build_zero_shot_head(pair.ours, WORDS, ["a photo of a {}"], name="Words")
    logits = pair.theirs.logit_scale.detach().exp() * (
        pair.images(pictures) @ pair.texts([f"a photo of a {word}" for word in WORDS]).T
    )
    if pair.theirs.logit_bias is None:
        assert (head.activation, head.logit_bias) == ("softmax", 0.0)
        theirs = logits.softmax(dim=-1)
    else:
        assert (head.activation, head.logit_bias) == ("sigmoid", -1.5)
        theirs = (logits + pair.theirs.logit_bias.detach()).sigmoid()
    for row, prediction in enumerate(head.predict(pair.ours.encode_images(pictures), len(WORDS))):
        for guess in prediction:
            expected = float(theirs[row, WORDS.index(guess.class_name)])
            assert guess.probability == pytest.approx(expected, abs=TOLERANCE)


def test_of_a_masked_padding_only_what_the_longest_prompt_needs_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(tmp_path, FAMILIES["XLM-RoBERTa"], {})
    ours = load_encoder(f"local-dir:{tmp_path}")
    read: list[int] = []
    original = PaddedTextTower.encode

    def count(tower: PaddedTextTower, tokens: torch.Tensor) -> torch.Tensor:
        read.append(tokens.numel())
        return original(tower, tokens)

    monkeypatch.setattr(PaddedTextTower, "encode", count)
    ours.encode_texts(["cat", "dogs"])
    assert read == [2 * 6], "the four characters of “dogs”, its start and its end"


def test_a_tower_to_which_padding_makes_a_difference_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = make_model(tmp_path, FAMILIES["XLM-RoBERTa"], {})
    assert PaddedTextTower.of(theirs) is not None
    monkeypatch.setattr(theirs, "encode_text", lambda tokens: tokens.float().cumsum(-1)[:, -4:])
    assert PaddedTextTower.of(theirs) is None


def test_long_texts_are_noticed(pair: Pair) -> None:
    long = "many many words " * 60
    assert pair.ours.cut_texts(["a cat", long]) == [long]


@pytest.mark.parametrize("suffix", ["pt", "ptl", "json", "safetensors"])
def test_scale_bias_and_activation_travel_in_every_file(
    pair: Pair, pictures: list[Image.Image], tmp_path: Path, suffix: str
) -> None:
    head = build_zero_shot_head(pair.ours, WORDS, ["a {}"], name="Words")
    file = export_head(head, tmp_path / f"head.{suffix}")
    if suffix == "json":
        said = json.loads(file.read_text())
    elif suffix == "safetensors":
        said = Head.load(file).metadata()
    else:
        embeddings = pair.ours.encode_images(pictures)
        if suffix == "pt":
            extra = {"manifest.json": ""}
            module = torch.jit.load(str(file), _extra_files=extra)
            said = json.loads(extra["manifest.json"])
        else:
            from torch.jit.mobile import _load_for_lite_interpreter

            module, said = _load_for_lite_interpreter(str(file)), head.metadata()
        probabilities, _ = module(torch.from_numpy(embeddings))
        ours = [[guess.probability for guess in row] for row in head.predict(embeddings)]
        np.testing.assert_allclose(probabilities.numpy(), ours, atol=TOLERANCE)
    for key in ("activation", "logit_scale", "logit_bias"):
        assert said[key] == getattr(head, key)


def test_quick_gelu_is_used_where_the_published_weights_want_it(tmp_path: Path) -> None:
    """The folder's configuration leaves it out, as open_clip's own for this model does."""
    plain, quick = dict(FAMILIES["ViT"]), {**FAMILIES["ViT"], "quick_gelu": True}
    model = make_model(tmp_path, plain, {})
    source = ModelSource("ViT-B-32/openai", repository="someone/somewhere")
    ours = load_encoder_from(source, tmp_path)
    wanted = open_clip.CLIP(**copy.deepcopy(quick)).eval()
    wanted.load_state_dict(model.state_dict())
    tokens = open_clip.get_tokenizer("ViT-B-32")(["a cat"])
    with torch.inference_mode():
        right = wanted.encode_text(tokens, normalize=True).numpy()
        wrong = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(ours.encode_texts(["a cat"]), right, atol=TOLERANCE)
    assert abs(right - wrong).max() > 10 * TOLERANCE, "this test could not tell them apart"


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    config = copy.deepcopy(FAMILIES["SigLIP"])
    config["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
    make_model(tmp_path, config, {})
    witness = tmp_path / "it-ran"
    (tmp_path / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass Evil: pass\n")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings.update(tokenizer_class="Evil", auto_map={"AutoTokenizer": [None, "evil.Evil"]})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    try:
        load_encoder(f"local-dir:{tmp_path}")
    except ModelError as error:
        assert "cannot be loaded" in str(error)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("missing", "words"),
    [("config.json", "settings of xlm-roberta-base"), ("tokenizer.json", "tokenizer of xlm")],
)
def test_a_text_tower_without_its_files_is_a_sentence(
    tmp_path: Path, missing: str, words: str
) -> None:
    make_model(tmp_path, FAMILIES["XLM-RoBERTa"], {})
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError, match=words):
        load_encoder(f"local-dir:{tmp_path}")
