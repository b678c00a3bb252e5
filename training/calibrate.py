"""Honest probabilities: the temperature of the softmax, its error, and "none of these".

Numpy only; works on cosine similarities. Knows no network.
"""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows (n, k) → probabilities (n, k)."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def calibration_error(confidence: np.ndarray, is_right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error, in 0..1: mean gap between claimed and actual share right.

    Args:
        confidence: probability given to the first answer, (n,).
        is_right: whether it was, bool (n,).

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for number in range(bins):
        inside = which == number
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - is_right[inside].mean())
    return float(error)


def fit_logit_scale(label_sets: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The logit scale with the least calibration error, averaged over label sets.

    Args:
        label_sets: for each, the cosines (n, n_classes) and the right answers, bool
            (n, n_classes); a picture may have several, or none.

    Returns:
        The scale, to 2 %.
    """
    scales = np.exp(np.arange(np.log(5), np.log(200), 0.02))
    errors = np.zeros(len(scales))
    for similarities, is_answer in label_sets:
        best = similarities.argmax(-1)
        is_right = is_answer[np.arange(len(best)), best]
        for number, scale in enumerate(scales):
            errors[number] += calibration_error(softmax(scale * similarities).max(-1), is_right)
    return float(scales[int(np.argmin(errors))])


def none_of_these(
    known: np.ndarray, strangers: np.ndarray, false_alarms: float = 0.1
) -> tuple[float, float]:
    """The cosine under which the best answer is probably none.

    Args:
        known: best cosine of pictures whose class is in the label set, (n,).
        strangers: best cosine of pictures whose class is not, (m,).
        false_alarms: share of the known that may fall below.

    Returns:
        (threshold, share of the strangers below it).
    """
    threshold = float(np.quantile(known, false_alarms))
    return threshold, float((strangers < threshold).mean())
