"""Head: the one type between what makes classifiers and what uses them.

A head is a matrix of class embeddings with what is needed to turn an image embedding
into probabilities.  Knows numpy and, by `head_format`, its own file format; nothing of
models, pictures or the web.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifiers.errors import HeadError
from classifiers.heads.head_format import check_head, check_row_lengths, pack, unpack
from classifiers.words.prompts import brief

FORMAT_VERSION = "1"


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
        kind: one of `head_format.KINDS`.
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
        check_head(self)
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
        """Writes the head as safetensors; metadata values are strings, JSON if structured.

        Raises:
            HeadError: the names and templates are too long for the format.
            OSError: the disk is full, or the path cannot be written.
        """
        tensors = {"weights": np.ascontiguousarray(self.weights)}
        if self.bias is not None:
            tensors["bias"] = np.ascontiguousarray(self.bias, dtype=np.float32)
        metadata = {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in self.metadata().items()
        }
        Path(path).write_bytes(pack(tensors, metadata))

    @staticmethod
    def load(path: str | Path) -> Head:
        """Reads a head that `save` wrote.  Runs nothing of what the file holds.

        Raises:
            HeadError: not such a file, or its shapes, numbers or metadata are wrong.
            OSError: the file cannot be read now, which says nothing of what it holds.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise HeadError(f"“{brief(path.name)}” is not there; create it again.") from None
        return Head.from_bytes(data, path.name)

    @staticmethod
    def from_bytes(data: bytes, file_name: str) -> Head:
        """The head in the content of a file.

        Raises:
            HeadError: as `load`; the sentence names the file as `file_name`.
        """
        try:
            metadata, weights, bias = unpack(data)
            check_row_lengths(weights)
            return _from_metadata(metadata, weights, bias)
        except (ValueError, RecursionError) as error:
            reason = brief(str(error), 180).rstrip(".")
            raise HeadError(f"“{brief(file_name)}” is not a head: {reason}.") from error


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
        raise ValueError(f"format version “{brief(metadata.get('format_version'))}” is not known")
    size = _json(metadata, "image_size")
    return Head(
        name=_text(metadata, "name"),
        kind=_text(metadata, "kind"),
        model=_text(metadata, "model"),
        fingerprint=metadata.get("fingerprint", ""),
        classes=_list(metadata, "classes"),
        templates=_list(metadata, "templates"),
        examples=metadata.get("examples", ""),
        weights=weights,
        bias=bias,
        logit_scale=_number(metadata, "logit_scale"),
        logit_bias=_number(metadata, "logit_bias"),
        activation=_text(metadata, "activation"),
        abstain_below=_json(metadata, "abstain_below") if "abstain_below" in metadata else None,
        image_size=(size, size) if isinstance(size, int) else _list(metadata, "image_size"),
        mean=_list(metadata, "mean"),
        std=_list(metadata, "std"),
    )


def _text(metadata: dict[str, str], key: str) -> str:
    if key not in metadata:
        raise ValueError(f"its metadata lack “{key}”")
    return metadata[key]


def _number(metadata: dict[str, str], key: str) -> float:
    text = _text(metadata, key)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{key} must be a number, not “{brief(text)}”") from None


def _json(metadata: dict[str, str], key: str) -> Any:
    text = _text(metadata, key)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{key} cannot be read as JSON: “{brief(text)}”") from None


def _list(metadata: dict[str, str], key: str) -> tuple[Any, ...]:
    value = _json(metadata, key)
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list, not {brief(value)}")
    return tuple(value)


def _activate(logits: np.ndarray, activation: str) -> np.ndarray:
    """Probabilities `(n, n_classes)`; softmax rows sum to 1, sigmoid entries stand alone."""
    logits = logits.astype(np.float64)
    if activation == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * logits))  # never overflows
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
