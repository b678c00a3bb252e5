"""Head or image encoder → `.onnx`, for ONNX Runtime and browsers.

Needs the `onnx` package of requirements-export.txt.  Records with PyTorch's exporter that
works by tracing: it needs no further library, and takes a twentieth of the time of the one
that works by `torch.export`.
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.torchscript import PlainAttention, TorchScriptEncoder, TorchScriptHead
from classifiers.heads.head import Head

OPSET = 17  # of ONNX 1.12, 2022: read by every runtime since

_one_at_a_time = threading.Lock()  # the exporter keeps its state in globals


def save_onnx_head(
    head: Head, path: Path, metadata: dict[str, str], precision: str = "float32"
) -> None:
    """Writes `image_embedding` → `probabilities`, `indices`, as `TorchScriptHead` has them."""
    given = torch.ones(2, head.embed_dim)
    module = TorchScriptHead(head, precision)
    names = ["image_embedding", "probabilities", "indices"]
    _save(module, given, path, names, metadata, fold=precision == "float32")


def save_onnx_encoder(
    encoder: Encoder, path: Path, metadata: dict[str, str], precision: str = "float32"
) -> None:
    """Writes `pixels` → `image_embedding`, as `TorchScriptEncoder` has them.

    Raises:
        ExportError: the tower computes something that ONNX has no operator for.
    """
    given = torch.rand(2, 3, *encoder.image_size)
    module = TorchScriptEncoder(encoder, precision)
    try:
        _save(module, given, path, ["pixels", "image_embedding"], metadata, precision == "float32")
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"The image encoder of {encoder.model_name} cannot be written as ONNX: {reason}"
        ) from error


def _save(
    module: nn.Module,
    given: Tensor,
    path: Path,
    names: list[str],
    metadata: dict[str, str],
    fold: bool,  # else weights of fewer bits would be folded into float32 again
) -> None:
    import onnx  # an optional library, whose absence export.py tells

    with _one_at_a_time, torch.no_grad(), warnings.catch_warnings(), PlainAttention():
        warnings.simplefilter("ignore")  # the exporter's deprecation, constants of a trace
        torch.onnx.export(
            module.eval(),
            (given,),
            str(path),
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "n"} for name in names},
            opset_version=OPSET,
            do_constant_folding=fold,
            dynamo=False,
        )
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
