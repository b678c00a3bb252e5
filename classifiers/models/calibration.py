"""What was measured of a model so that its heads claim no more than they know.

A model may come with a *calibration*: logit scales fitted for several numbers of classes,
and a *background*, the image embeddings of some hundred ordinary pictures. How near those
come to the classes of a head says from which cosine on a class is meant. Knows no model
and no pictures; numpy only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

CALIBRATION_FILE = "calibration.safetensors"
FEWEST_OUTSIDE = 20  # pictures; of fewer a quantile says nothing


@dataclass(frozen=True, eq=False)
class ModelCalibration:
    """Fitted numbers and a background.

    Attributes:
        embeddings: of the background, float32 `(n, embed_dim)`, unit rows.
        nearest_word: float32 `(n,)`, the cosine of each picture of the background to the
            nearest of many thousand words.
        logit_scales: `(number of classes, logit scale)`, the numbers rising.
        closeness: a picture shows none of a head's classes where the nearest of them is
            farther from it than this share of `nearest_word`.
        quantile: of the best cosines of the pictures that show none of the classes; a picture
            whose best cosine is below it is taken for one of those.
        independent: what the logit of "this class is on the picture" gives to the cosine, to
            the median and to the spread of the background's cosines, and a constant.
    """

    embeddings: np.ndarray
    nearest_word: np.ndarray
    logit_scales: tuple[tuple[int, float], ...]
    closeness: float
    quantile: float
    independent: tuple[float, float, float, float]

    def save(self, path: Path) -> None:
        """Writes safetensors: float16 arrays, the fitted numbers as JSON beside them."""
        numbers = {
            "logit_scales": self.logit_scales,
            "closeness": self.closeness,
            "quantile": self.quantile,
            "independent": self.independent,
        }
        arrays = {
            "embeddings": self.embeddings.astype(np.float16),
            "nearest_word": self.nearest_word.astype(np.float16),
        }
        save_file(arrays, path, {name: json.dumps(value) for name, value in numbers.items()})

    @staticmethod
    def load(path: Path) -> ModelCalibration:
        """What `save` wrote.

        Raises:
            ValueError: not such a file, or of wrong shapes or numbers.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                numbers = {name: json.loads(text) for name, text in file.metadata().items()}
                embeddings = file.get_tensor("embeddings").astype(np.float32)
                nearest_word = file.get_tensor("nearest_word").astype(np.float32)
            cosine, typical, spread, constant = numbers["independent"]
            calibration = ModelCalibration(
                embeddings,
                nearest_word,
                tuple((int(count), float(scale)) for count, scale in numbers["logit_scales"]),
                float(numbers["closeness"]),
                float(numbers["quantile"]),
                (float(cosine), float(typical), float(spread), float(constant)),
            )
        except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} holds no calibration: {error}") from error
        calibration._check(path.name)
        return calibration

    def _check(self, name: str) -> None:
        n = len(self.nearest_word)
        counts = [count for count, _ in self.logit_scales]
        if self.embeddings.ndim != 2 or self.nearest_word.shape != (n,) or n < FEWEST_OUTSIDE:
            raise ValueError(f"{name}: a background of shape {self.embeddings.shape}")
        if len(self.embeddings) != n or not 0 < self.quantile < 1:
            raise ValueError(f"{name}: numbers that do not fit each other")
        if not counts or counts != sorted(set(counts)) or counts[0] < 1:
            raise ValueError(f"{name}: numbers of classes that do not rise: {counts}")
        scales = np.array([scale for _, scale in self.logit_scales])
        everything = (self.embeddings, self.nearest_word, scales, self.independent, self.closeness)
        if not all(np.isfinite(each).all() for each in everything) or scales.min() <= 0:
            raise ValueError(f"{name}: numbers that are not finite, or a scale of 0 or less")

    def logit_scale(self, n_classes: int) -> float:
        """The scale for a head of so many classes: between the fitted ones, on logarithms."""
        counts, scales = np.log(np.array(self.logit_scales)).T
        return float(np.exp(np.interp(np.log(max(1, n_classes)), counts, scales)))

    def abstain_below(self, weights: np.ndarray) -> float:
        """The cosine under which a head's best class is probably none.

        Args:
            weights: class embeddings `(n_classes, embed_dim)`, unit rows.
        """
        best = (self.embeddings @ weights.T).max(axis=1)  # (n,)
        is_outside = best < self.closeness * self.nearest_word
        if is_outside.sum() < FEWEST_OUTSIDE:  # the classes say something about everything
            return float(np.quantile(best, 1 / len(best)))
        return float(np.quantile(best[is_outside], self.quantile))

    def independent_logits(self, similarities: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Logits of "this class is on the picture", each class on its own.

        Args:
            similarities: cosines `(n, n_classes)` of pictures and classes.
            bias: of these classes, from `independent_bias`.

        Returns:
            `(n, n_classes)`; at 0 it is as likely as not.
        """
        logits: np.ndarray = self.independent[0] * similarities + bias
        return logits

    def independent_bias(self, weights: np.ndarray) -> np.ndarray:
        """What `independent_logits` adds for each class, `(n_classes,)`, whatever the picture.

        Args:
            weights: class embeddings `(n_classes, embed_dim)`, unit rows.
        """
        typical, spread = typical_and_spread(self.embeddings @ weights.T)
        _, of_typical, of_spread, constant = self.independent
        bias: np.ndarray = of_typical * typical + of_spread * spread + constant
        return bias


def typical_and_spread(similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of each column, and how far below it the tenth part lies: both `(n_classes,)`.

    The lower side only: above lie the pictures that do show the class.
    """
    low, median = np.quantile(similarities, (0.1, 0.5), axis=0)
    return median, median - low
