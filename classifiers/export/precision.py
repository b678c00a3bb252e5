"""Weights in fewer bits, and how much that changes the answers.

Only what is stored shrinks: files turn the weights back into float32 before computing, so
every runtime computes alike, with the rounded numbers that are measured here.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from classifiers.errors import ExportError
from classifiers.heads.head import Head

PRECISIONS = {"float32": "32-bit", "float16": "16-bit", "int8": "8-bit"}
BYTES_PER_WEIGHT = {"float32": 4, "float16": 2, "int8": 1}


class Change(NamedTuple):
    """What rounding did to the answers for some pictures."""

    n_pictures: int
    n_same_best: int  # pictures whose likeliest class stayed the same
    largest_difference: float  # of a probability, over all pictures and classes


def check_precision(precision: str) -> None:
    """Raises ExportError unless `precision` is one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ExportError(f"There are no weights of “{precision[:20]}”; choose {known}.")


def int8_rows(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(n, …)` → int8 of the same shape, and float32 `(n,)` that each row is multiplied by."""
    largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
    # Below float16's range nothing is left to keep, and zeros must not be divided by.
    scales = (np.maximum(largest, 1e-30) / 127).astype(np.float32)
    columns = scales.reshape(-1, *[1] * (weights.ndim - 1))
    return np.round(weights / columns).astype(np.int8), scales


def rounded_head(head: Head, precision: str) -> Head:
    """The head with the numbers that a file of that precision computes with."""
    if precision == "float16":
        weights = head.weights.astype(np.float16).astype(np.float32)
    elif precision == "int8":
        whole, scales = int8_rows(head.weights)
        weights = whole.astype(np.float32) * scales[:, None]
    else:
        return head
    return dataclasses.replace(head, weights=weights)


def measure_change(
    head: Head, precision: str, embeddings: np.ndarray, rounded_embeddings: np.ndarray | None = None
) -> Change:
    """Asks the head and its rounded version about the same pictures.

    Args:
        embeddings: of the pictures, `(n, embed_dim)`.
        rounded_embeddings: of the same pictures by an encoder of rounded weights, if it is
            that whose effect is asked for too.
    """
    n_classes = len(head.classes)
    if rounded_embeddings is None:
        rounded_embeddings = embeddings
    one = head.predict(embeddings, n_classes)
    other = rounded_head(head, precision).predict(rounded_embeddings, n_classes)
    same, largest = 0, 0.0
    for before, after in zip(one, other, strict=True):
        same += before.best.class_name == after.best.class_name
        was = {guess.class_name: guess.probability for guess in before}
        differences = [abs(guess.probability - was[guess.class_name]) for guess in after]
        largest = max(largest, *differences)
    return Change(len(one), same, largest)
