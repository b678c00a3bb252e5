"""Honest probabilities: the temperature of the softmax, its error, and "none of these".

Works on embeddings and cosine similarities. Knows no network.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from classifiers.models.calibration import ModelCalibration, typical_and_spread


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


@dataclass(frozen=True, eq=False)
class HalfSet:
    """Pictures asked about classes that only some of them show.

    Attributes:
        weights: class embeddings (n_classes, d), unit rows.
        images: image embeddings (n, d), unit rows.
        is_inside: whether a picture shows one of the classes, bool (n,).
    """

    weights: np.ndarray
    images: np.ndarray
    is_inside: np.ndarray


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures of which each shows one of the classes: unit rows, and int64 (n,)."""

    weights: np.ndarray
    images: np.ndarray
    truth: np.ndarray


def balanced_accuracy(threshold: float, half_set: HalfSet) -> float:
    """Mean of the shares rightly kept and rightly noticed, where a picture below is noticed."""
    best = (half_set.images @ half_set.weights.T).max(-1)
    kept = (best[half_set.is_inside] >= threshold).mean()
    noticed = (best[~half_set.is_inside] < threshold).mean()
    return float(kept + noticed) / 2


KEPT_OF_EVERYTHING = 0.9  # share of pictures of which a list of everything must not say "none"


def fit_none_of_these(
    calibration: ModelCalibration, half_sets: list[HalfSet], everything: HalfSet | None = None
) -> ModelCalibration:
    """`calibration` with the closeness and the quantile that tell inside from outside best.

    Args:
        everything: classes of which nearly every picture shows one, such as all the nouns; of
            its pictures `KEPT_OF_EVERYTHING` must be kept.
    """
    best, chosen = -1.0, calibration
    for closeness in np.arange(0.5, 1.0, 0.05):
        for quantile in np.arange(0.3, 0.99, 0.05):
            tried = replace(calibration, closeness=float(closeness), quantile=float(quantile))
            if everything is not None:
                nearest = (everything.images @ everything.weights.T).max(-1)
                kept = (nearest >= tried.abstain_below(everything.weights)).mean()
                if kept < KEPT_OF_EVERYTHING:
                    continue
            scores = [
                balanced_accuracy(tried.abstain_below(each.weights), each) for each in half_sets
            ]
            if np.mean(scores) > best:
                best, chosen = float(np.mean(scores)), tried
    return chosen


WRONG_CLASSES = 4  # asked of each picture beside its own: one answer in five is yes


def fit_independent(
    calibration: ModelCalibration, sets: list[Labelled], seed: int = 0
) -> ModelCalibration:
    """`calibration` with the logistic regression of "this class is on the picture"."""
    rng = np.random.default_rng(seed)
    rows, answers = [], []
    for each in sets:
        similarities = each.images @ each.weights.T
        typical, spread = typical_and_spread(calibration.embeddings @ each.weights.T)
        own = np.arange(len(each.truth))
        shifts = rng.integers(1, len(each.weights), (WRONG_CLASSES, len(own)))
        for classes, answer in [
            (each.truth, 1),
            *(((each.truth + shift) % len(each.weights), 0) for shift in shifts),
        ]:
            columns = (similarities[own, classes], typical[classes], spread[classes])
            rows.append(np.stack(columns, axis=1))
            answers.append(np.full(len(own), answer))
    fitted = LogisticRegression(C=1e4, max_iter=1000).fit(
        np.concatenate(rows), np.concatenate(answers)
    )
    cosine, of_typical, of_spread = map(float, fitted.coef_[0])
    numbers = (cosine, of_typical, of_spread, float(fitted.intercept_[0]))
    return replace(calibration, independent=numbers)
