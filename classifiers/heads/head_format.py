"""What a head file and a head may hold: bytes ↔ tensors and metadata, and the bounds of both.

Files come from strangers, so nothing in them is believed.  Bounds lie where no honest model
comes near; within them every answer is a finite number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
from safetensors.numpy import save

from classifiers.errors import HeadError
from classifiers.words.prompts import brief, is_text

if TYPE_CHECKING:
    from classifiers.heads.head import Head

KINDS = ("zero-shot", "prototype", "linear-probe")
ACTIVATIONS = ("softmax", "sigmoid")
TENSORS = ("weights", "bias")

# CLIP is trained with a scale of at most 100, SigLIP has some 117 and a bias of -17.  Scale
# and both biases together stay below 65,504, the largest number of half precision.
MAX_LOGIT_SCALE = 10_000.0
MAX_LOGIT_BIAS = 10_000.0
MAX_IMAGE_SIDE = 4_096  # pixels; models take 224 to 512
MAX_CHANNEL_MEAN = 1_000.0  # of pixels in [0, 1]; some models expect them in [0, 255]
MIN_CHANNEL_STD, MAX_CHANNEL_STD = 1e-6, 1_000.0
LENGTH_TOLERANCE = 1e-3  # of rows in a file, which may come from float16 weights

_LENGTH_BYTES = 8  # of the number a safetensors file begins with: its header's length


def pack(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """A safetensors file.

    Made in memory: safetensors writes through a temporary file with a name of its own, which
    a killed process leaves behind, and hides the cause when the disk is full.

    Raises:
        HeadError: the metadata are larger than the format allows.
    """
    try:
        return save(tensors, metadata=metadata)
    except safetensors.SafetensorError as error:
        raise HeadError(
            "The class names and templates are too long for a .safetensors file; shorten them."
        ) from error


def unpack(data: bytes) -> tuple[dict[str, str], np.ndarray, np.ndarray | None]:
    """Metadata, weights and perhaps a bias of a safetensors file.  Runs nothing of it.

    Raises:
        ValueError: no such file, or other tensors than a head has.
    """
    try:
        tensors = dict(safetensors.deserialize(data))  # checks all lengths and offsets
    except safetensors.SafetensorError:
        raise ValueError("it is damaged, or no safetensors file") from None
    if "weights" not in tensors or not set(tensors) <= set(TENSORS):
        raise ValueError(
            f"it holds the tensors {brief(', '.join(sorted(tensors)) or 'none')}; "
            "a head has weights and perhaps a bias"
        )
    header = data[_LENGTH_BYTES : _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")]
    metadata = json.loads(header.decode("utf-8")).get("__metadata__") or {}
    bias = _array("bias", tensors["bias"]) if "bias" in tensors else None
    return metadata, _array("weights", tensors["weights"]), bias


def _array(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] != "F32" or not tensor["data"]:
        raise ValueError(f"{name} must be float32 numbers, not {tensor['dtype']} {tensor['shape']}")
    numbers = np.frombuffer(tensor["data"], "<f4").astype(np.float32, copy=False)
    return numbers.reshape(tensor["shape"])


def check_row_lengths(weights: np.ndarray) -> None:
    """Rows of another length would make logits of another scale than the head's.

    Raises:
        ValueError: which row is wrong.
    """
    if weights.ndim != 2:
        return  # refused with its shape by check_head
    lengths = np.linalg.norm(weights.astype(np.float64), axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1.0) > LENGTH_TOLERANCE)
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]} of its weights has length {lengths[wrong[0]]:.4g} instead of 1; "
            "divide each row by its length"
        )


def check_head(head: Head) -> None:
    """Refuses a head that could not answer, be saved, or be exported.

    Raises:
        ValueError: what is wrong with which value; the rest of a sentence.
    """
    _check_texts(head)
    _check_arrays(head)
    if head.kind not in KINDS or head.activation not in ACTIVATIONS:
        raise ValueError(
            f"kind “{brief(head.kind)}” with activation “{brief(head.activation)}” is not known"
        )
    if not _is_within(head.logit_scale, 0.0, MAX_LOGIT_SCALE) or head.logit_scale == 0:
        raise ValueError(
            f"logit_scale must be a finite number above 0 and at most {MAX_LOGIT_SCALE:,.0f}, "
            f"not {brief(head.logit_scale)}"
        )
    _check_number("logit_bias", head.logit_bias, -MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)
    if head.abstain_below is not None:
        _check_number("abstain_below", head.abstain_below, -1.0, 1.0)
    _check_preprocessing(head)


def _check_texts(head: Head) -> None:
    if not len(head.classes) or not all(isinstance(name, str) for name in head.classes):
        raise ValueError("classes must be strings, one at least")
    if not all(isinstance(template, str) for template in head.templates):
        raise ValueError("templates must be texts")
    texts = {
        "name": [head.name],
        "kind": [head.kind],
        "activation": [head.activation],
        "model": [head.model],
        "fingerprint": [head.fingerprint],
        "examples": [head.examples],
        "classes": head.classes,
        "templates": head.templates,
    }
    for what, values in texts.items():
        for text in values:
            if not is_text(text):
                raise ValueError(f"{what} must be whole characters, unlike “{brief(text)}”")


def _check_arrays(head: Head) -> None:
    weights, bias = head.weights, head.bias
    if weights.dtype != np.float32 or weights.ndim != 2 or len(weights) != len(head.classes):
        raise ValueError(
            f"weights must be float32 ({len(head.classes)}, embed_dim), "
            f"not {weights.dtype} {brief(weights.shape)}"
        )
    if not weights.size or not np.isfinite(weights).all():
        raise ValueError("weights must be finite numbers")
    if bias is not None and (
        bias.shape != weights.shape[:1] or not (np.abs(bias) <= MAX_LOGIT_BIAS).all()
    ):
        raise ValueError(
            f"bias must be {len(weights):,} finite numbers, none beyond {MAX_LOGIT_BIAS:,.0f}"
        )


def _check_preprocessing(head: Head) -> None:
    sides = head.image_size
    if len(sides) != 2 or not all(
        isinstance(side, (int, np.integer)) and _is_within(side, 1, MAX_IMAGE_SIDE)
        for side in sides
    ):
        raise ValueError(
            f"image_size must be two whole numbers of pixels from 1 to {MAX_IMAGE_SIDE:,}, "
            f"not {brief(list(sides))}"
        )
    for what, values, low, high in (
        ("mean", head.mean, -MAX_CHANNEL_MEAN, MAX_CHANNEL_MEAN),
        ("std", head.std, MIN_CHANNEL_STD, MAX_CHANNEL_STD),
    ):
        if len(values) != 3:
            raise ValueError(f"{what} must be three numbers, not {len(values):,}")
        for value in values:
            _check_number(what, value, low, high)


def _check_number(what: str, value: object, low: float, high: float) -> None:
    if not _is_within(value, low, high):
        raise ValueError(
            f"{what} must be finite numbers from {low:,.6g} to {high:,.6g}, not {brief(value)}"
        )


def _is_within(value: Any, low: float, high: float) -> bool:
    """False for what is no number: text, true and false, NaN, infinity."""
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and bool(low <= value <= high)
    )
