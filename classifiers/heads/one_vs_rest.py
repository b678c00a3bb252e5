"""Each class on its own: several may be right, or none.

A sigmoid model (SigLIP) is made for that.  A model with a calibration has measured how often
a class is on a picture at which cosine.  For any other softmax model, each class is compared
with the same templates about "something": the softmax over just those two, which does not
force a choice among the classes.  Those numbers are the model's, not calibrated frequencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from classifiers.heads.head import Head, Prediction

if TYPE_CHECKING:
    from classifiers.heads.library import HeadLibrary
    from classifiers.models.calibration import ModelCalibration

ANYTHING = "something"
# A head is of one model, and so of one calibration.
_biases: WeakKeyDictionary[Head, np.ndarray] = WeakKeyDictionary()
_PLAIN_TEMPLATES = ("a photo of {}",)  # for heads that were made from photos, not words


def predict_independently(
    library: HeadLibrary, head: Head, image_embeddings: np.ndarray, k: int = 5
) -> list[Prediction]:
    """The `k` likeliest classes for each picture, each probability standing alone.

    Args:
        image_embeddings: `(n, embed_dim)`, normalised or not.

    Returns:
        As `Head.predict`; abstains where every class is less likely than not.
    """
    if head.activation == "sigmoid":
        return _abstaining(head.predict(image_embeddings, k))
    calibration = library.encoder.calibration
    if calibration is not None:
        similarities = head.logits(image_embeddings)[1]
        on_picture = calibration.independent_logits(similarities, _bias(calibration, head))
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * on_picture))
        return _abstaining(head.rank(on_picture, probabilities, similarities, k))
    anything = library.create(ANYTHING, head.templates or _PLAIN_TEMPLATES, (ANYTHING,))
    logits, similarities = head.logits(image_embeddings)
    against = anything.logits(image_embeddings)[0]  # (n, 1)
    # The softmax over two logits is the sigmoid of their difference.
    probabilities = 0.5 * (1.0 + np.tanh(0.5 * (logits - against)))
    return _abstaining(head.rank(logits, probabilities, similarities, k))


def _bias(calibration: ModelCalibration, head: Head) -> np.ndarray:
    """`calibration.independent_bias`, computed once a head: of 4,000 classes it takes 80 ms."""
    bias = _biases.get(head)
    if bias is None:
        bias = _biases[head] = calibration.independent_bias(head.weights)
    return bias


def _abstaining(predictions: list[Prediction]) -> list[Prediction]:
    for prediction in predictions:
        prediction.abstains = prediction.best.probability < 0.5
    return predictions
