"""Head: the one type between what makes classifiers and what uses them.

A head is a matrix of class embeddings with what is needed to turn an image embedding
into probabilities.  Knows numpy and its own file format; nothing of models, pictures or
the web.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
from safetensors.numpy import save_file

from classifiers.errors import HeadError

FORMAT_VERSION = "1"
KINDS = ("zero-shot", "prototype", "linear-probe")
ACTIVATIONS = ("softmax", "sigmoid")
LENGTH_TOLERANCE = 1e-3  # of rows in a file, which may come from float16 weights


class Guess(NamedTuple):
    """One class of a prediction."""

    class_name: str
    probability: float  # in [0, 1]
    similarity: float  # cosine of image and class embedding, in [-1, 1]


class Prediction(tuple[Guess, ...]):
    """The likeliest classes for one picture, best first."""

    abstains: bool = False  # even the best is unlikely: “none of these, probably”

    @property
    def best(self) -> Guess:
        return self[0]


@dataclass(frozen=True, eq=False)
class Head:
    """A classifier without its image encoder.  Immutable.

    Attributes:
        weights: float32 `(n_classes, embed_dim)`, unit rows.
        templates: prompt templates of a zero-shot head; empty for heads made from photos.
        kind: one of `KINDS`.
        model, fingerprint: which encoder's embeddings these are.
        logit_scale, logit_bias: logits are `logit_scale * cosine + logit_bias + bias`.
        bias: float32 `(n_classes,)` of a linear probe, else None.
        activation: `"softmax"` (one of the classes) or `"sigmoid"` (each on its own).
        image_size: `(height, width)` in pixels; mean, std: per channel, of pixels in [0, 1].
        examples: digest of the example photos a head was made from, else empty.
        abstain_below: cosine under which even the best class is probably wrong.
    """

    name: str
    classes: tuple[str, ...]
    weights: np.ndarray
    model: str
    fingerprint: str
    logit_scale: float
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    templates: tuple[str, ...] = ()
    kind: str = "zero-shot"
    logit_bias: float = 0.0
    bias: np.ndarray | None = None
    activation: str = "softmax"
    examples: str = ""
    abstain_below: float | None = None

    def __post_init__(self) -> None:
        _check(self)
        self.weights.setflags(write=False)
        if self.bias is not None:
            self.bias.setflags(write=False)

    @property
    def id(self) -> str:
        """32 hex digits that depend on what the head was made from, not on its name."""
        return head_id(
            self.model, self.fingerprint, self.kind, self.classes, self.templates, self.examples
        )

    @property
    def embed_dim(self) -> int:
        return self.weights.shape[1]

    def logits(self, image_embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and cosine similarities, each float32 `(n, n_classes)`.

        Args:
            image_embeddings: `(n, embed_dim)`, normalised or not.
        """
        x = np.asarray(image_embeddings, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.embed_dim:
            raise ValueError(f"image embeddings of shape (n, {self.embed_dim}), not {x.shape}")
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        similarities = (x / np.maximum(norms, 1e-12)) @ self.weights.T
        logits = self.logit_scale * similarities + self.logit_bias
        return (logits if self.bias is None else logits + self.bias), similarities

    def predict(self, image_embeddings: np.ndarray, k: int = 5) -> list[Prediction]:
        """The `k` likeliest classes for each picture, best first.

        Args:
            image_embeddings: `(n, embed_dim)`, normalised or not.

        Returns:
            A `Prediction` of `min(k, n_classes)` guesses for each picture.
        """
        logits, similarities = self.logits(image_embeddings)
        probabilities = _activate(logits, self.activation)
        predictions = self.rank(logits, probabilities, similarities, k)
        for prediction in predictions:
            prediction.abstains = (
                self.abstain_below is not None and prediction.best.similarity < self.abstain_below
            )
        return predictions

    def rank(
        self, logits: np.ndarray, probabilities: np.ndarray, similarities: np.ndarray, k: int
    ) -> list[Prediction]:
        """The `k` classes of the highest logits for each row; all arrays `(n, n_classes)`."""
        # Stable, so that equal classes keep their order on the page, phone and API alike.
        best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        return [
            Prediction(
                Guess(self.classes[c], float(probabilities[row, c]), float(similarities[row, c]))
                for c in columns
            )
            for row, columns in enumerate(best)
        ]

    def metadata(self) -> dict[str, Any]:
        """What travels with the weights, ready for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "kind": self.kind,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "templates": list(self.templates),
            "examples": self.examples,
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "activation": self.activation,
            "abstain_below": self.abstain_below,
            "image_size": list(self.image_size),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def save(self, path: str | Path) -> None:
        """Writes the head as safetensors; metadata values are strings, JSON if structured."""
        tensors = {"weights": np.ascontiguousarray(self.weights)}
        if self.bias is not None:
            tensors["bias"] = np.ascontiguousarray(self.bias, dtype=np.float32)
        metadata = {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in self.metadata().items()
        }
        save_file(tensors, str(path), metadata=metadata)

    @staticmethod
    def load(path: str | Path) -> Head:
        """Reads a head that `save` wrote.  Runs nothing of what the file holds.

        Raises:
            HeadError: not such a file, or its shapes, numbers or metadata are wrong.
        """
        try:
            with safetensors.safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                weights = file.get_tensor("weights")
                names = file.keys()
                bias = file.get_tensor("bias") if "bias" in names else None
            _check_lengths(weights)
            return _from_metadata(metadata, weights, bias)
        except FileNotFoundError:  # whose message names folders of the server
            raise HeadError(f"“{Path(path).name}” is not there; create it again.") from None
        except (
            OSError,
            KeyError,
            ValueError,
            TypeError,
            RecursionError,
            safetensors.SafetensorError,
        ) as error:
            raise HeadError(f"“{Path(path).name}” is not a head: {error}") from error


def head_id(
    model: str,
    fingerprint: str,
    kind: str,
    classes: Sequence[str],
    templates: Sequence[str],
    examples: str = "",
) -> str:
    """The id a head will have, known before it is built: so builders can look it up."""
    parts = [FORMAT_VERSION, model, fingerprint, kind, list(classes), list(templates), examples]
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _from_metadata(metadata: dict[str, str], weights: np.ndarray, bias: np.ndarray | None) -> Head:
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"format version {metadata.get('format_version')!r} is not known")
    return Head(
        name=metadata["name"],
        kind=metadata["kind"],
        model=metadata["model"],
        fingerprint=metadata.get("fingerprint", ""),
        classes=tuple(json.loads(metadata["classes"])),
        templates=tuple(json.loads(metadata["templates"])),
        examples=metadata.get("examples", ""),
        weights=weights,
        bias=bias,
        logit_scale=float(metadata["logit_scale"]),
        logit_bias=float(metadata["logit_bias"]),
        activation=metadata["activation"],
        abstain_below=json.loads(metadata.get("abstain_below", "null")),
        image_size=_pair(json.loads(metadata["image_size"])),
        mean=tuple(json.loads(metadata["mean"])),
        std=tuple(json.loads(metadata["std"])),
    )


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _check(head: Head) -> None:
    weights, bias = head.weights, head.bias
    if weights.dtype != np.float32 or weights.ndim != 2 or len(weights) != len(head.classes):
        raise ValueError(
            f"weights must be float32 ({len(head.classes)}, embed_dim), "
            f"not {weights.dtype} {weights.shape}"
        )
    if not len(head.classes) or not all(isinstance(name, str) for name in head.classes):
        raise ValueError("classes must be strings, one at least")
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite numbers")
    if bias is not None and (bias.shape != weights.shape[:1] or not np.isfinite(bias).all()):
        raise ValueError(f"bias must be {weights.shape[:1]} finite numbers")
    if head.kind not in KINDS or head.activation not in ACTIVATIONS:
        raise ValueError(f"kind {head.kind!r} with activation {head.activation!r} is not known")
    if not np.isfinite([head.logit_scale, head.logit_bias, head.abstain_below or 0.0]).all():
        raise ValueError("logit scale, logit bias and abstain_below must be finite numbers")


def _check_lengths(weights: np.ndarray) -> None:
    """Rows of another length would make logits of another scale than the head's."""
    if weights.ndim != 2:
        return  # refused with its shape by _check
    lengths = np.linalg.norm(weights.astype(np.float64), axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1.0) > LENGTH_TOLERANCE)
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]} of its weights has length {lengths[wrong[0]]:.4g} instead of 1; "
            "divide each row by its length"
        )


def _activate(logits: np.ndarray, activation: str) -> np.ndarray:
    """Probabilities `(n, n_classes)`; softmax rows sum to 1, sigmoid entries stand alone."""
    logits = logits.astype(np.float64)
    if activation == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * logits))  # never overflows
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
