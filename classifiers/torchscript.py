"""TorchScript modules of a head and of an image encoder, as PyTorch Mobile runs them.

Written for the runtimes of 2022 and 2023 (1.13, 2.1), which are the last that phones have:
only operators that those know.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.heads import Head

TOP_K = 5


class TorchScriptHead(nn.Module):
    """A head as the phone runs it.

    `forward(image_embedding)` takes float32 `(n, embed_dim)`, normalised or not, and
    returns probabilities float32 `(n, k)` and class indices int64 `(n, k)`, best first,
    `k = min(5, n_classes)`.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.weights = nn.Buffer(torch.from_numpy(head.weights.copy()))
        bias = torch.zeros(len(head.classes))
        if head.bias is not None:
            bias = torch.from_numpy(head.bias.copy())
        self.bias = nn.Buffer(bias + head.logit_bias)
        self.logit_scale = float(head.logit_scale)
        self.one_of_the_classes = head.activation == "softmax"
        self.k = min(TOP_K, len(head.classes))

    def forward(self, image_embedding: Tensor) -> tuple[Tensor, Tensor]:
        x = F.normalize(image_embedding, dim=-1)
        logits = self.logit_scale * torch.matmul(x, self.weights.t()) + self.bias
        if self.one_of_the_classes:
            probabilities = torch.softmax(logits, dim=-1)
        else:
            probabilities = torch.sigmoid(logits)
        # By logits: sure probabilities round to exactly 1 or 0 and would tie.
        indices = torch.topk(logits, self.k, dim=-1)[1]
        return torch.gather(probabilities, -1, indices), indices


class TorchScriptEncoder(nn.Module):
    """The image encoder as the phone runs it.

    `forward(pixels)` takes float32 `(n, 3, height, width)` in [0, 1], RGB, already
    resized and cropped; normalises the channels itself; returns unit rows
    `(n, embed_dim)`.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.visual: Any = encoder.model.visual
        self.mean = nn.Buffer(torch.tensor(encoder.mean).view(1, 3, 1, 1))
        self.std = nn.Buffer(torch.tensor(encoder.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.visual((pixels - self.mean) / self.std), dim=-1)


def save_torchscript_head(head: Head, path: Path, extra_files: dict[str, str]) -> None:
    """Writes a scripted head to `path`: for the lite interpreter if it ends in `.ptl`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript's deprecation: phones read nothing else
        _save(torch.jit.script(TorchScriptHead(head).eval()), path, extra_files)


def save_torchscript_encoder(encoder: Encoder, path: Path, extra_files: dict[str, str]) -> None:
    """Writes the traced image encoder to `path`: for the lite interpreter if `.ptl`.

    Raises:
        ExportError: the tower does something that a trace cannot record.
    """
    # Two pictures, so that the trace cannot take the batch for a constant.
    pixels = torch.rand(2, 3, *encoder.image_size)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        try:
            module = torch.jit.trace(TorchScriptEncoder(encoder).eval(), pixels)
        except RuntimeError as error:
            raise ExportError(
                f"The image encoder of {encoder.model_name} cannot be recorded: {error}"
            ) from error
        _save(module, path, extra_files)


def _save(module: torch.jit.ScriptModule, path: Path, extra_files: dict[str, str]) -> None:
    if path.suffix == ".ptl":
        module._save_for_lite_interpreter(str(path), _extra_files=extra_files)
    else:
        torch.jit.save(module, str(path), _extra_files=extra_files)
