"""Head or image encoder → `.pte`, for ExecuTorch with its XNNPACK delegate.

Needs the `executorch` package of requirements-export.txt; a phone's runtime should be of
the same version.
"""

from __future__ import annotations

import copy
import threading
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.torchscript import PlainAttention, TorchScriptEncoder, TorchScriptHead
from classifiers.heads.head import Head

# The runtime sets memory aside for the largest batch.
MAX_EMBEDDINGS = 64
MAX_PICTURES = 8

_one_at_a_time = threading.Lock()  # recording and lowering keep state in globals


def save_executorch_head(head: Head, path: Path, precision: str = "float32") -> None:
    """Writes a head of `TorchScriptHead`'s form, for up to `MAX_EMBEDDINGS` at once."""
    module = TorchScriptHead(head, precision)
    path.write_bytes(_program(module, torch.ones(2, head.embed_dim), MAX_EMBEDDINGS))


def save_executorch_encoder(encoder: Encoder, path: Path, precision: str = "float32") -> None:
    """Writes an encoder of `TorchScriptEncoder`'s form, for up to `MAX_PICTURES` at once.

    Raises:
        ExportError: the tower does something that `torch.export` cannot record.
    """
    # XNNPACK's lowering orders the channels itself and stumbles where they are last already.
    module = copy.deepcopy(TorchScriptEncoder(encoder, precision))
    module.to(memory_format=torch.contiguous_format)
    given = torch.rand(2, 3, *encoder.image_size)
    try:
        path.write_bytes(_program(module, given, MAX_PICTURES))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"The image encoder of {encoder.model_name} cannot be written for ExecuTorch: {reason}"
        ) from error


def _program(module: nn.Module, given: Tensor, max_rows: int) -> bytes:
    # Optional libraries, whose absence export.py tells; seconds to import.
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    rows = {0: torch.export.Dim("n", min=1, max=max_rows)}
    with _one_at_a_time, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between torch and executorch
        with PlainAttention():
            recorded = torch.export.export(
                module.eval(), (given,), dynamic_shapes=(rows,), strict=False
            )
        lowered = to_edge_transform_and_lower(recorded, partitioner=[XnnpackPartitioner()])
        return lowered.to_executorch().buffer
