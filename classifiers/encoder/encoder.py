"""A loaded CLIP model: pictures and texts → embeddings.

Knows torch and open_clip, as only the modules that load and export models do besides.
Arrays at its face are numpy, float32, with unit (L2-normalised) rows.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import Compose

from classifiers.encoder.batching import Batcher
from classifiers.encoder.causal_text import CausalTextTower
from classifiers.encoder.executor import compute
from classifiers.encoder.padded_text import PaddedTextTower
from classifiers.images import PictureSource, open_picture
from classifiers.models.calibration import ModelCalibration
from classifiers.models.catalog import ModelCard, ModelSource

IMAGE_BATCH = 16  # pictures; more gains nothing on a CPU and costs memory
TEXT_BATCH = 256  # prompts of similar length
TEXT_BATCH_TOKENS = 2_560  # another's picture waits for one batch, so long prompts are fewer

START_AND_END = 4  # tokens around a text, and what a tokenizer may put before its words

# A centre crop never sees more of a strip than its middle square, and resizing the
# short side of a 1 × 20,000 strip would make 80 million pixels first.
MAX_ASPECT_RATIO = 8

Progress = Callable[[int, int], None]  # called with (prompts done, prompts in all)


class Encoder:
    """A CLIP model with its preprocessing.  Safe to use from several threads.

    Attributes:
        model_name: as the model was asked for, for instance `"builtin"`.
        fingerprint: tells two versions of the weights under one name apart.
        embed_dim: numbers in an embedding.
        image_size: `(height, width)` in pixels that the image tower takes.
        mean, std: of the three channels, for pixels in [0, 1].
        logit_scale: exponentiated; logits are `logit_scale * cosine + logit_bias`.
        logit_bias: 0 where the model has none.
        activation: `"softmax"`, or `"sigmoid"` for models trained with a bias (SigLIP).
        context_length: tokens the text tower reads, start and end tokens included.
        calibration: what was measured of the model, where it comes with that.
    """

    def __init__(
        self,
        source: ModelSource,
        fingerprint: str,
        model: Any,  # an open_clip.CLIP or CustomTextCLIP, whose attributes differ
        preprocess: Compose,
        tokenizer: Callable[..., torch.Tensor],
        calibration: ModelCalibration | None = None,
    ) -> None:
        self.model = model
        self.model_name = source.name
        self.card: ModelCard = source.card
        self.fingerprint = fingerprint
        self.calibration = calibration
        # What follows resizing and cropping is done for a whole batch: many threads with
        # torch's small operations each are in each other's way.
        *resize_and_crop, _to_tensor, _normalise = preprocess.transforms
        self._resize_and_crop = Compose(resize_and_crop)
        self._tokenizer = tokenizer
        self._tokenizer_lock = threading.Lock()  # fast tokenizers are not for two threads

        settings = open_clip.get_model_preprocess_cfg(model)
        size = settings["size"]
        self.image_size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self.mean: tuple[float, ...] = tuple(settings["mean"])
        self.std: tuple[float, ...] = tuple(settings["std"])
        self._mean, self._std = (
            torch.tensor(each).view(1, 3, 1, 1) for each in (self.mean, self.std)
        )
        self.interpolation: str = settings["interpolation"]
        self.resize_mode: str = settings["resize_mode"]

        # What the tokenizer cuts at: text towers of transformers could read more.
        self.context_length = int(
            getattr(tokenizer, "context_length", None) or model.context_length
        )
        self.logit_scale = math.exp(float(model.logit_scale.detach()))
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = 0.0 if bias is None else float(bias.detach())
        self.activation = "softmax" if bias is None else "sigmoid"
        self._encode_one: Batcher[np.ndarray, np.ndarray] = Batcher(
            lambda pixels: list(self._encode_pixels(pixels)), IMAGE_BATCH
        )
        self._fast_tower = CausalTextTower.of(model) or PaddedTextTower.of(model)
        self.embed_dim = int(self.encode_texts(["a"]).shape[1])

    def encode_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Image embeddings.  Single pictures that come at the same time share a batch.

        Args:
            pictures: upright RGB pictures of any size, as `images.open_picture` gives.

        Returns:
            float32 `(len(pictures), embed_dim)`, unit rows.
        """
        if len(pictures) == 1:
            return self._encode_one(self._pixels(pictures[0]))[None]
        rows = [np.empty((0, self.embed_dim), np.float32)]
        for start in range(0, len(pictures), IMAGE_BATCH):
            pixels = [self._pixels(picture) for picture in pictures[start : start + IMAGE_BATCH]]
            rows.append(compute(self._encode_pixels, pixels))
        return np.concatenate(rows)

    def encode_picture(self, source: PictureSource) -> np.ndarray:
        """float32 `(1, embed_dim)`, unit row, of a picture decoded no larger than needed.

        Raises:
            ImageError: as `images.open_picture`.
        """
        return self.encode_images([open_picture(source, for_size=self.image_size)])

    def _encode_pixels(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Prepared pictures → float32 `(len(pixels), embed_dim)`, unit rows."""
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
            batch = batch.float().div_(255).sub_(self._mean).div_(self._std)
            return F.normalize(self.model.encode_image(batch), dim=-1).numpy()

    def _pixels(self, picture: Image.Image) -> np.ndarray:
        """As the image tower takes it, but not normalised: uint8 `(height, width, 3)`."""
        if self.resize_mode == "shortest":
            picture = _middle(picture, MAX_ASPECT_RATIO)
        return np.asarray(self._resize_and_crop(picture))

    def encode_texts(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Text embeddings.  A text longer than `context_length` is cut (see `cut_texts`).

        Where the text tower allows it, computes only what can change the result (see
        `causal_text` and `padded_text`); the numbers are the same.

        Args:
            progress: called after each batch; what it raises stops the work.

        Returns:
            float32 `(len(texts), embed_dim)`, unit rows.
        """
        if not texts:
            return np.empty((0, self.embed_dim), np.float32)
        # Short parts and numpy: what is large torch would share among helpers of this thread.
        parts = [texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
        tokens = np.concatenate([self._tokenize(part).numpy() for part in parts])  # (n, length)
        lengths = np.full(len(tokens), tokens.shape[1])
        if self._fast_tower is not None:
            lengths = compute(self._fast_tower.lengths, torch.from_numpy(tokens)).numpy()
        order = lengths.argsort(kind="stable")
        rows = None
        start = 0
        while start < len(texts):
            chosen = _batch(order[start : start + TEXT_BATCH], lengths)
            embeddings = compute(self._encode_tokens, tokens[chosen, : lengths[chosen].max()])
            if rows is None:
                rows = np.empty((len(texts), embeddings.shape[1]), np.float32)
            rows[chosen] = embeddings
            start += len(chosen)
            if progress is not None:
                progress(start, len(texts))
        assert rows is not None  # texts is not empty
        return rows

    def _encode_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens int64 `(n, length)` → float32 `(n, embed_dim)`, unit rows."""
        tower = self.model.encode_text if self._fast_tower is None else self._fast_tower.encode
        with torch.inference_mode():
            return F.normalize(tower(torch.from_numpy(tokens)), dim=-1).numpy()

    def _tokenize(self, texts: Sequence[str], context_length: int | None = None) -> torch.Tensor:
        """Tokens, int64 `(n, context_length)`."""
        with self._tokenizer_lock:
            return self._tokenizer(list(texts), context_length=context_length)

    def cut_texts(self, texts: Sequence[str]) -> list[str]:
        """Those of `texts` that are longer than the model can read."""
        # A token stands for one byte at least, so most texts need no tokenizing to pass.
        texts = [text for text in texts if len(text.encode()) > self.context_length - START_AND_END]
        if not texts:
            return []
        tokens = self._tokenize(texts, context_length=self.context_length + 1)
        beyond = tokens[:, -1]
        padding = self._tokenize([""], context_length=self.context_length + 1)[0, -1]
        return [text for text, last in zip(texts, beyond, strict=True) if last != padding]


def _batch(order: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The first of `order`, whose `lengths` rise, that make no more than a batch's tokens."""
    tokens = lengths[order] * np.arange(1, len(order) + 1)  # each as long as the longest
    return order[: max(1, int(np.searchsorted(tokens, TEXT_BATCH_TOKENS, side="right")))]


def _middle(picture: Image.Image, max_aspect_ratio: int) -> Image.Image:
    """The middle of a strip that is longer than `max_aspect_ratio`; others as they are."""
    width, height = picture.size
    longest = min(width, height) * max_aspect_ratio
    if max(width, height) <= longest:
        return picture
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return picture.crop((left, top, left + min(width, longest), top + min(height, longest)))
