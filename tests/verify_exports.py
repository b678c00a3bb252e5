"""Exports the image encoder of every curated architecture at full size: `make verify-exports`.

    python tests/verify_exports.py [MODEL ...] [--formats pt,onnx]

Random weights, which export as real ones do; the text tower is a small one, since no file
holds it.  Each file is loaded by a runtime that did not write it: .pt and .ptl by PyTorch
1.13, .onnx by ONNX Runtime, .pte by ExecuTorch's.  Needs 8 GB of memory and half an hour, so
it is no part of `make test`, which exports a small model of each family.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import open_clip
import torch
from old_pytorch import run_in_pytorch_1_13

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.export import export_encoder
from classifiers.models.catalog import BUILTIN, ModelSource, curated_models

TEXT_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
SAME = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", help="names; all curated ones if none is given")
    parser.add_argument("--formats", default=",".join(RUNTIMES), help="separated by commas")
    chosen = parser.parse_args()
    formats = chosen.formats.split(",")
    names = [card.name for card in curated_models() if card.name != BUILTIN]
    # One model of each architecture: the weights make no difference here.
    by_architecture = {name.partition("/")[0]: name for name in reversed(names)}
    if unknown := set(chosen.models) - set(by_architecture.values()):
        parser.error(f"{', '.join(sorted(unknown))}: none of {', '.join(by_architecture.values())}")
    n_failed = 0
    print("| architecture | " + " | ".join(formats) + " |\n|---" + "|---" * len(formats) + "|")
    for architecture, name in reversed(by_architecture.items()):
        if chosen.models and name not in chosen.models:
            continue
        encoder = full_size_encoder(name)
        cells = [check(encoder, suffix, RUNTIMES[suffix]) for suffix in formats]
        n_failed += any(cell.startswith("DIFFERS") for cell in cells)
        print(f"| {architecture} | " + " | ".join(cells) + " |", flush=True)
    return 1 if n_failed else 0


def full_size_encoder(name: str) -> Encoder:
    config = open_clip.get_model_config(name.partition("/")[0])
    assert config is not None
    config["text_cfg"] = TEXT_TOWER
    config.pop("custom_text", None)
    config["vision_cfg"]["timm_model_pretrained"] = False
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    size = model.visual.image_size
    settings = dataclasses.asdict(open_clip.transform.PreprocessCfg(size=size))
    open_clip.model.set_model_preprocess_cfg(model, settings)
    preprocess = open_clip.image_transform(size, is_train=False)
    return Encoder(ModelSource(name), "random", model, preprocess, tokenizer)


def check(encoder: Encoder, suffix: str, run: Callable[[Path, np.ndarray], np.ndarray]) -> str:
    """The largest difference of the file's embeddings, or why there is no file."""
    pixels = np.random.default_rng(0).random((2, 3, *encoder.image_size), np.float32)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (encoder.mean, encoder.std))
    prepared = (torch.from_numpy(pixels) - mean) / std
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = export_encoder(encoder, Path(folder) / f"encoder.{suffix}")
        except ExportError as error:
            return str(error)
        megabytes = path.stat().st_size / 1e6
        rows = run(path, pixels)
    with torch.inference_mode():
        expected = encoder.model.encode_image(prepared, normalize=True).numpy()
    difference = float(np.abs(rows - expected).max())
    verdict = "" if difference <= SAME else "DIFFERS: "
    return f"{verdict}{difference:.1e}, {megabytes:,.0f} MB"


def run_in_onnx_runtime(path: Path, pixels: np.ndarray) -> np.ndarray:
    import onnxruntime

    return onnxruntime.InferenceSession(path).run(None, {"pixels": pixels})[0]


def run_in_executorch(path: Path, pixels: np.ndarray) -> np.ndarray:
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    assert method is not None
    return method.execute([torch.from_numpy(pixels)])[0].numpy().copy()


RUNTIMES: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {
    "pt": lambda path, pixels: run_in_pytorch_1_13(path, pixels)[0],
    "ptl": lambda path, pixels: run_in_pytorch_1_13(path, pixels)[0],
    "onnx": run_in_onnx_runtime,
    "pte": run_in_executorch,
}

if __name__ == "__main__":
    sys.exit(main())
