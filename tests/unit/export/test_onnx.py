"""`.onnx` files give the page's answers in ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.export import export_encoder, export_head
from classifiers.export.precision import rounded_head
from classifiers.heads.head import Head
from classifiers.images import open_picture

SAME = 1e-5  # promised: the page's own numbers


@pytest.fixture(scope="module")
def session() -> Callable[[Path], Any]:
    pytest.importorskip("onnx", reason="no onnx here (requirements-export.txt)")
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime here")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return lambda path: runtime.InferenceSession(str(path), options)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize(
    ("n_classes", "changes"),
    [
        (60, {}),
        (1, {}),
        (3, {"activation": "sigmoid", "bias": np.array([1, -1, 0], np.float32)}),
    ],
)
def test_onnx_runtime_gives_the_page_s_five_answers(
    n_classes: int,
    changes: dict[str, Any],
    precision: str,
    session: Callable[[Path], Any],
    make_head: Callable[..., Head],
    embeddings: np.ndarray,
    tmp_path: Path,
) -> None:
    head = make_head(n_classes, **changes)
    run = session(export_head(head, tmp_path / "head.onnx", precision=precision))
    for x in (embeddings, embeddings[:1]):  # any number of pictures
        probabilities, indices = run.run(None, {"image_embedding": x})
        predictions = rounded_head(head, precision).predict(x)
        shown = [[guess.class_name for guess in prediction] for prediction in predictions]
        assert [[head.classes[i] for i in row] for row in indices] == shown
        expected = [[guess.probability for guess in prediction] for prediction in predictions]
        np.testing.assert_allclose(probabilities, expected, atol=SAME)


def test_labels_and_manifest_lie_in_the_metadata(
    session: Callable[[Path], Any], make_head: Callable[..., Head], tmp_path: Path
) -> None:
    head = make_head(3, classes=("Côte d'Ivoire", "猫", "<&>"))
    run = session(export_head(head, tmp_path / "head.onnx", precision="int8"))
    metadata = run.get_modelmeta().custom_metadata_map
    assert metadata["labels.txt"].splitlines() == list(head.classes)
    manifest = json.loads(metadata["manifest.json"])
    assert (manifest["id"], manifest["weights"]) == (head.id, "int8")


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("model", ["encoder", "sigmoid_encoder"])
def test_the_onnx_encoder_sees_what_the_page_s_encoder_sees(
    model: str,
    precision: str,
    session: Callable[[Path], Any],
    photo: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    from classifiers.export.torchscript import encode_rounded

    encoder: Encoder = request.getfixturevalue(model)
    pictures = [open_picture(photo).resize((32, 32)).rotate(angle) for angle in (0, 90, 180)]
    pixels = np.stack([np.array(p) for p in pictures]).transpose(0, 3, 1, 2) / np.float32(255)
    path = export_encoder(encoder, tmp_path / "encoder.onnx", precision=precision)
    run = session(path)
    expected = encode_rounded(encoder, pictures, precision)
    for n in (1, 3):
        (rows,) = run.run(None, {"pixels": np.ascontiguousarray(pixels[:n])})
        np.testing.assert_allclose(rows, expected[:n], atol=SAME)
    metadata = run.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["manifest.json"])["fingerprint"] == encoder.fingerprint


@pytest.mark.parametrize(("suffix", "library"), [("onnx", "onnx"), ("pte", "executorch")])
def test_a_missing_library_is_named_in_a_sentence(
    suffix: str,
    library: str,
    make_head: Callable[..., Head],
    encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for write, thing in ((export_head, make_head()), (export_encoder, encoder)):
        with pytest.raises(ExportError, match=f"need the library {library}.*not installed"):
            write(thing, tmp_path / f"file.{suffix}")  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []
    export_head(make_head(), tmp_path / "rest.zip")  # holds the other formats
