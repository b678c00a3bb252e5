"""Answering about pictures: against the bare model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from benchmarks.measure import Row, median_seconds, medians_by_turns
from classifiers.computing import compute
from classifiers.encoder import Encoder
from classifiers.images import open_picture
from classifiers.library import HeadLibrary

CLIENTS = 16
PICTURES = 64


def photo() -> Path:
    return Path(gradio.__file__).parent / "media_assets" / "images" / "lion.jpg"


def rows(encoder: Encoder, library: HeadLibrary) -> list[Row]:
    path = photo()
    settings = open_clip.get_model_preprocess_cfg(encoder.model)
    preprocess = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    head = library.find("nouns")
    embedding = encoder.encode_images([open_picture(path)])

    def another_set() -> None:
        library.find("nouns").predict(embedding)

    def ours() -> None:
        head.predict(encoder.encode_picture(path))

    def bare() -> None:
        with torch.inference_mode():
            encoder.model.encode_image(preprocess(Image.open(path)).unsqueeze(0))

    def one_by_one() -> None:
        for _ in range(PICTURES):
            ours()

    def at_once() -> None:
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(lambda _: ours(), range(PICTURES)))

    answer = median_seconds(another_set)
    one, alone = medians_by_turns(ours, lambda: compute(bare), at_least=10)
    apart, together = medians_by_turns(one_by_one, at_once, at_least=15)
    return [
        Row("another set of 4,000, picture encoded already", "–", answer * 1e3, None, "ms",
            answer * 1e3, "<=10"),
        Row("one picture → five of 4,000", "preprocess + encode_image", one * 1e3, alone * 1e3,
            "ms", one / alone, "<=1.1"),
        Row(f"{PICTURES} pictures from {CLIENTS} clients", "the same, one by one", together,
            apart, "s", apart / together, ">=1.6"),
    ]  # fmt: skip
