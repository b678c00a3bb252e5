"""`.pte` files give the page's answers in ExecuTorch's runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.encoder.encoder import Encoder
from classifiers.export.export import export_encoder, export_head
from classifiers.heads.head import Head
from classifiers.images import open_picture

SAME = 1e-5  # promised: the page's own numbers


@pytest.fixture(scope="module")
def run_pte() -> Callable[[Path, np.ndarray], list[np.ndarray]]:
    runtime = pytest.importorskip(
        "executorch.runtime", reason="no executorch here (requirements-export.txt)"
    )

    def run(path: Path, given: np.ndarray) -> list[np.ndarray]:
        method = runtime.Runtime.get().load_program(str(path)).load_method("forward")
        answer = method.execute([torch.from_numpy(np.ascontiguousarray(given))])
        return [tensor.numpy().copy() for tensor in answer]

    return run


def test_executorch_gives_the_page_s_five_answers(
    run_pte: Callable[[Path, np.ndarray], list[np.ndarray]],
    make_head: Callable[..., Head],
    embeddings: np.ndarray,
    tmp_path: Path,
) -> None:
    head = make_head(60)
    path = export_head(head, tmp_path / "head.pte")
    for x in (embeddings, embeddings[:1]):  # any number of pictures
        probabilities, indices = run_pte(path, x)
        predictions = head.predict(x)
        shown = [[guess.class_name for guess in prediction] for prediction in predictions]
        assert [[head.classes[i] for i in row] for row in indices] == shown
        expected = [[guess.probability for guess in prediction] for prediction in predictions]
        np.testing.assert_allclose(probabilities, expected, atol=SAME)


def test_the_executorch_encoder_sees_what_the_page_s_encoder_sees(
    run_pte: Callable[[Path, np.ndarray], list[np.ndarray]],
    encoder: Encoder,
    photo: Path,
    tmp_path: Path,
) -> None:
    pictures = [open_picture(photo).resize((32, 32)).rotate(angle) for angle in (0, 90)]
    pixels = np.stack([np.array(p) for p in pictures]).transpose(0, 3, 1, 2) / np.float32(255)
    path = export_encoder(encoder, tmp_path / "encoder.pte")
    (rows,) = run_pte(path, pixels)
    np.testing.assert_allclose(rows, encoder.encode_images(pictures), atol=SAME)
