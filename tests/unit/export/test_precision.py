"""Weights of fewer bits: smaller files, and a change in the answers that is told truly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from classifiers.bounded_folder import BoundedFolder
from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.cache import ExportCache
from classifiers.export.export import estimate_head_bytes, export_encoder, export_head
from classifiers.export.precision import int8_rows, measure_change, rounded_head
from classifiers.heads.head import Head
from classifiers.images import open_picture


def probabilities(head: Head, embeddings: np.ndarray) -> np.ndarray:
    """`(n, n_classes)`, in index order."""
    return np.array(
        [
            [guess.probability for guess in sorted(p, key=lambda g: head.classes.index(g[0]))]
            for p in head.predict(embeddings, len(head.classes))
        ]
    )


@pytest.mark.parametrize(("precision", "bytes_each"), [("float16", 2), ("int8", 1)])
def test_a_rounded_file_is_smaller_and_answers_as_was_measured(
    precision: str, bytes_each: int, make_head: Callable[..., Head], tmp_path: Path
) -> None:
    head = make_head(500, 384)
    embeddings = np.random.default_rng(2).normal(size=(20, 384)).astype(np.float32)
    path = export_head(head, tmp_path / "head.pt", precision=precision)
    # TorchScript's own code takes up to 20 kB, the names of the classes 5 kB.
    assert path.stat().st_size < 500 * 384 * bytes_each + 25_000
    assert abs(estimate_head_bytes(head, "pt", precision) - path.stat().st_size) < 20_000

    change = measure_change(head, precision, embeddings)
    before, after = probabilities(head, embeddings), None
    best, index = torch.jit.load(str(path))(torch.from_numpy(embeddings))
    after = probabilities(rounded_head(head, precision), embeddings)
    np.testing.assert_allclose(best[:, 0], after.max(axis=1), atol=1e-5)
    same = int((index[:, 0].numpy() == before.argmax(axis=1)).sum())
    assert (change.n_pictures, change.n_same_best) == (20, same)
    assert change.largest_difference == pytest.approx(np.abs(after - before).max(), abs=1e-12)
    assert 0 < change.largest_difference < 0.01


def test_float32_changes_nothing(make_head: Callable[..., Head], embeddings: np.ndarray) -> None:
    assert measure_change(make_head(), "float32", embeddings) == (9, 9, 0.0)


def test_rows_in_eight_bits_are_off_by_half_a_step_at_most() -> None:
    rows = np.random.default_rng(3).normal(size=(5, 3, 4)).astype(np.float32)
    rows[2] = 0.0
    whole, scales = int8_rows(rows)
    steps = scales[:, None, None]
    assert whole.dtype == np.int8 and np.abs(whole * steps - rows).max() <= steps.max() * 0.5001
    assert not whole[2].any()


@pytest.mark.parametrize(("precision", "least_cosine"), [("float16", 0.99999), ("int8", 0.99)])
def test_a_rounded_encoder_is_smaller_and_leaves_the_page_s_as_it_was(
    precision: str, least_cosine: float, encoder: Encoder, photo: Path, tmp_path: Path
) -> None:
    from classifiers.export.torchscript import encode_rounded

    pictures = [open_picture(photo)]
    before = encoder.encode_images(pictures)
    rows = encode_rounded(encoder, pictures, precision)
    # float16 keeps 11 bits of a weight, int8 7: measured 1 - 1e-7 and 1 - 1e-4.
    assert least_cosine < float((rows * before).sum()) < 1 + 1e-6
    whole = export_encoder(encoder, tmp_path / "whole.ptl").stat().st_size
    small = export_encoder(encoder, tmp_path / "small.ptl", precision=precision).stat().st_size
    assert small < whole * (0.55 if precision == "float16" else 0.3)
    np.testing.assert_array_equal(encoder.encode_images(pictures), before)


def test_what_holds_no_rounded_weights_says_so(
    make_head: Callable[..., Head], encoder: Encoder, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"\.xml file holds no weights"):
        export_head(make_head(), tmp_path / "x.xml", precision="int8")
    with pytest.raises(ExportError, match="choose float32, float16, int8"):
        export_encoder(encoder, tmp_path / "x.pt", precision="int4")


def test_the_panel_tells_the_measured_change(
    encoder: Encoder, make_head: Callable[..., Head], tmp_path: Path
) -> None:
    from ui import export_panel
    from ui.picture import example_pictures

    head = make_head(9, encoder.embed_dim)
    library = SimpleNamespace(encoder=encoder, find=lambda chosen: head)
    models = SimpleNamespace(library=lambda name: library)
    rows = encoder.encode_images([open_picture(path) for path in example_pictures()])
    change = measure_change(head, "int8", rows)
    html = export_panel.head_change(models, "x", "pt", "int8")  # type: ignore[arg-type]
    assert f"{change.n_same_best} of {len(rows)} example pictures" in html
    assert f"by {100 * change.largest_difference:.2g} percentage points" in html
    assert export_panel.head_change(models, "x", "pt", "float32") == ""  # type: ignore[arg-type]
    assert "no difference" in export_panel.head_change(models, "x", "txt", "int8")  # type: ignore[arg-type]
    html = export_panel.encoder_change(models, "x", "int8")  # type: ignore[arg-type]
    assert f"of {len(rows)} example pictures; probabilities move" in html
    exports = ExportCache(BoundedFolder(tmp_path, 1_000_000_000))
    takes = export_panel.FRAMES
    file = export_panel.encoder_file(models, exports, "pt", None, takes, "int8")  # type: ignore[arg-type]
    assert file.endswith("_frames.pt")
