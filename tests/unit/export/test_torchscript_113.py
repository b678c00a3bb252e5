"""Exported files run in PyTorch 1.13, the release of the last phone runtimes.

These tests are skipped where the system's Python has none (see `old_pytorch`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from old_pytorch import old_python, run_in_pytorch_1_13

from classifiers.encoder.encoder import Encoder
from classifiers.export.export import export_encoder, export_head
from classifiers.heads.head import Head
from classifiers.images import open_picture

SAME = 1e-5  # promised: the page's own numbers


@pytest.fixture
def run_in_113() -> Callable[[Path, np.ndarray], list[np.ndarray]]:
    if old_python() is None:
        pytest.skip("no Python with PyTorch 1.13 here (Debian: apt install python3-torch)")
    return run_in_pytorch_1_13


@pytest.mark.parametrize("suffix", ["pt", "ptl"])
@pytest.mark.parametrize(
    ("n_classes", "changes"),
    [(60, {}), (3, {"activation": "sigmoid", "bias": np.array([1, -1, 0], np.float32)})],
)
def test_a_head_gives_the_page_s_answers_in_pytorch_1_13(
    n_classes: int,
    changes: dict[str, object],
    suffix: str,
    make_head: Callable[..., Head],
    embeddings: np.ndarray,
    tmp_path: Path,
    run_in_113: Callable[[Path, np.ndarray], list[np.ndarray]],
) -> None:
    head = make_head(n_classes, **changes)
    path = export_head(head, tmp_path / f"head.{suffix}")
    probabilities, indices = run_in_113(path, embeddings)
    predictions = head.predict(embeddings)
    shown = [[guess.class_name for guess in prediction] for prediction in predictions]
    assert [[head.classes[i] for i in row] for row in indices] == shown
    expected = [[guess.probability for guess in prediction] for prediction in predictions]
    np.testing.assert_allclose(probabilities, expected, atol=SAME)


@pytest.mark.parametrize("suffix", ["pt", "ptl"])
def test_an_encoder_gives_the_page_s_embeddings_in_pytorch_1_13(
    suffix: str,
    encoder: Encoder,
    photo: Path,
    tmp_path: Path,
    run_in_113: Callable[[Path, np.ndarray], list[np.ndarray]],
) -> None:
    picture = open_picture(photo).resize((32, 32))
    pixels = np.asarray(picture).transpose(2, 0, 1)[None] / np.float32(255)
    path = export_encoder(encoder, tmp_path / f"encoder.{suffix}")
    (rows,) = run_in_113(path, np.ascontiguousarray(pixels))
    np.testing.assert_allclose(rows, encoder.encode_images([picture]), atol=SAME)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("suffix", ["pt", "ptl"])
def test_camera_frames_and_rounded_weights_work_in_pytorch_1_13(
    suffix: str,
    precision: str,
    encoder: Encoder,
    photo: Path,
    tmp_path: Path,
    run_in_113: Callable[[Path, np.ndarray], list[np.ndarray]],
) -> None:
    from classifiers.export.torchscript import encode_rounded

    pictures = [open_picture(photo).resize((97, 64)), open_picture(photo).resize((97, 64))]
    path = tmp_path / f"frames.{suffix}"
    export_encoder(encoder, path, frames=True, precision=precision)
    (rows,) = run_in_113(path, np.stack([np.array(picture) for picture in pictures]))
    # Another release may round a pixel the other way, see test_export on frames.
    cosines = (rows * encode_rounded(encoder, pictures, precision)).sum(axis=1)
    assert cosines.min() > 1 - 1e-5


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_rounded_head_gives_the_measured_answers_in_pytorch_1_13(
    precision: str,
    make_head: Callable[..., Head],
    embeddings: np.ndarray,
    tmp_path: Path,
    run_in_113: Callable[[Path, np.ndarray], list[np.ndarray]],
) -> None:
    from classifiers.export.precision import rounded_head

    head = make_head(60)
    path = export_head(head, tmp_path / "head.ptl", precision=precision)
    probabilities, indices = run_in_113(path, embeddings)
    predictions = rounded_head(head, precision).predict(embeddings)
    shown = [[guess.class_name for guess in prediction] for prediction in predictions]
    assert [[head.classes[i] for i in row] for row in indices] == shown
    expected = [[guess.probability for guess in prediction] for prediction in predictions]
    np.testing.assert_allclose(probabilities, expected, atol=SAME)
