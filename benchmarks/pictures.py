"""Answering about pictures: against the bare model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import gradio
import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from benchmarks.measure import Row, median_seconds, medians_by_turns, once_seconds
from classifiers.decoding.decoder import PictureDecoder
from classifiers.encoder.encoder import Encoder
from classifiers.encoder.executor import compute
from classifiers.heads.library import HeadLibrary
from classifiers.images import open_picture

CLIENTS = 16
PICTURES = 64
PAIRS = 100
CAMERA_SIZE = (4000, 3000)  # 12 megapixels, as a phone takes them


def photo() -> Path:
    return Path(gradio.__file__).parent / "media_assets" / "images" / "lion.jpg"


def camera_photo(folder: Path) -> Path:
    """A JPEG of a camera's size and weight: an enlarged photograph with a sensor's noise."""
    path = folder / "camera.jpg"
    with Image.open(photo()) as picture:
        pixels = np.asarray(picture.convert("RGB").resize(CAMERA_SIZE), np.int16)
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape).astype(np.int16)
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def decoding_row(encoder: Encoder, library: HeadLibrary, folder: Path) -> Row:
    """What it costs that a server decodes strangers' pictures beside itself."""
    path, head, decoder = camera_photo(folder), library.find("nouns"), PictureDecoder()
    decoder.start()

    def beside() -> None:
        picture = decoder.open(path, for_size=encoder.image_size)
        head.predict(encoder.encode_images([picture]))

    def within() -> None:
        head.predict(encoder.encode_picture(path))

    beside()
    within()
    # In pairs: what is looked for is less than what a machine's neighbours change in a minute.
    pairs = [(once_seconds(beside), once_seconds(within)) for _ in range(PAIRS)]
    decoder.close()
    ours, before = (median(column) for column in zip(*pairs, strict=True))
    more = median(one - other for one, other in pairs) * 1e3
    what = "a photograph of 12 megapixels, decoded beside the server: ms more"
    against = "decoded in the same process"
    return Row(what, against, ours * 1e3, before * 1e3, "ms", more, "<=3")


def rows(encoder: Encoder, library: HeadLibrary, folder: Path) -> list[Row]:
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
        decoding_row(encoder, library, folder),
    ]  # fmt: skip
