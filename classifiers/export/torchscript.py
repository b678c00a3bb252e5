"""TorchScript modules of a head and of an image encoder, as PyTorch Mobile runs them.

Written for the runtimes of 2022 and 2023 (1.13, 2.1), which are the last that phones have:
only operators that those know.  The other formats record the same modules.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from torch.overrides import TorchFunctionMode

from classifiers.encoder.encoder import MAX_ASPECT_RATIO, Encoder
from classifiers.errors import ExportError
from classifiers.export.frames import FramePreprocessing
from classifiers.export.precision import int8_rows
from classifiers.heads.head import Head

TOP_K = 5
FEWEST_WEIGHTS_TO_ROUND = 1024  # smaller tensors are norms and biases: no gain, much harm

_OPERATORS_FILE = Path(__file__).resolve().parents[2] / "assets" / "operators_of_pytorch_1_13.txt"


class TorchScriptHead(nn.Module):
    """A head as the phone runs it.

    `forward(image_embedding)` takes float32 `(n, embed_dim)`, normalised or not, and
    returns probabilities float32 `(n, k)` and class indices int64 `(n, k)`, best first,
    `k = min(5, n_classes)`.  The weights are stored as `precision` and computed with as
    float32.
    """

    def __init__(self, head: Head, precision: str = "float32") -> None:
        super().__init__()
        stored, scales = _stored(torch.from_numpy(head.weights.copy()), precision)
        self.weights = nn.Buffer(stored)
        self.row_scales = nn.Buffer(scales if scales is not None else torch.ones(1, 1))
        self.is_scaled = scales is not None
        bias = torch.zeros(len(head.classes))
        if head.bias is not None:
            bias = torch.from_numpy(head.bias.copy())
        self.bias = nn.Buffer(bias + head.logit_bias)
        self.logit_scale = float(head.logit_scale)
        self.one_of_the_classes = head.activation == "softmax"
        self.k = min(TOP_K, len(head.classes))

    def forward(self, image_embedding: Tensor) -> tuple[Tensor, Tensor]:
        x = F.normalize(image_embedding, dim=-1)
        weights = self.weights.to(torch.float32)
        if self.is_scaled:
            weights = weights * self.row_scales
        logits = self.logit_scale * torch.matmul(x, weights.t()) + self.bias
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

    def __init__(self, encoder: Encoder, precision: str = "float32") -> None:
        super().__init__()
        visual: Any = encoder.model.visual
        if precision != "float32":
            visual = _with_rounded_weights(visual, precision)
        self.visual = visual
        self.mean = nn.Buffer(torch.tensor(encoder.mean).view(1, 3, 1, 1))
        self.std = nn.Buffer(torch.tensor(encoder.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.visual((pixels - self.mean) / self.std), dim=-1)


class FrameEncoder(nn.Module):
    """`forward(frames)` takes uint8 `(n, height, width, 3)`, RGB, upright, of any size."""

    def __init__(self, preprocessing: nn.Module, encode: nn.Module) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.encode = encode

    def forward(self, frames: Tensor) -> Tensor:
        return self.encode(self.preprocessing(frames))


class _Restored(nn.Module):
    """Weights that are stored in fewer bits → float32, as a parametrisation of a module."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self.precision = precision

    def forward(self, stored: Tensor, scales: Tensor) -> Tensor:
        weights = stored.to(torch.float32)
        return weights * scales if self.precision == "int8" else weights

    def right_inverse(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        stored, scales = _stored(weights, self.precision)
        # Two tensors, even where one would do: a lone one may not be of another type.
        return stored, torch.ones(1) if scales is None else scales


def _with_rounded_weights(module: nn.Module, precision: str) -> nn.Module:
    """A copy that stores its large weights in fewer bits; the rest is shared."""
    tensors = [*module.parameters(), *module.buffers()]
    rounded = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    for part in list(rounded.modules()):
        for name, weights in list(part.named_parameters(recurse=False)):
            if weights.ndim >= 2 and weights.numel() >= FEWEST_WEIGHTS_TO_ROUND:
                setattr(part, name, nn.Parameter(weights.detach(), requires_grad=False))
                register_parametrization(part, name, _Restored(precision), unsafe=True)
    return rounded


def _stored(weights: Tensor, precision: str) -> tuple[Tensor, Tensor | None]:
    """`weights` as they are stored, and what int8 rows are multiplied by, else None."""
    if precision == "float16":
        return weights.to(torch.float16), None
    if precision == "int8":
        whole, scales = int8_rows(weights.numpy())
        return torch.from_numpy(whole), torch.from_numpy(scales).view(-1, *[1] * (whole.ndim - 1))
    return weights, None


class PlainAttention(TorchFunctionMode):
    """Attention spelt in products and a softmax, which PyTorch 1.13 has; for this thread."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            # Asked for the attention weights, it computes them in the open.
            return func(*args, **{**kwargs, "need_weights": True})[0], None
        return func(*args, **kwargs)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Source: Vaswani et al. 2017, 3.2.1.  Image towers hide no patch and drop nothing."""
    if is_causal or dropout_p:
        raise ExportError("This image tower hides part of the picture from itself.")
    scale = query.size(-1) ** -0.5 if scale is None else scale
    similarities = torch.matmul(query * scale, key.transpose(-2, -1))
    if attn_mask is not None:
        similarities = similarities + attn_mask
    return torch.matmul(torch.softmax(similarities, dim=-1), value)


def save_torchscript_head(
    head: Head, path: Path, extra_files: dict[str, str], precision: str = "float32"
) -> None:
    """Writes a scripted head to `path`: for the lite interpreter if it ends in `.ptl`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript's deprecation: phones read nothing else
        _save(torch.jit.script(TorchScriptHead(head, precision).eval()), path, extra_files)


def save_torchscript_encoder(
    encoder: Encoder,
    path: Path,
    extra_files: dict[str, str],
    *,
    frames: bool = False,
    precision: str = "float32",
) -> None:
    """Writes the traced image encoder to `path`: for the lite interpreter if `.ptl`.

    Args:
        frames: take camera frames (see `FrameEncoder`) instead of prepared pixels.

    Raises:
        ExportError: the tower does something that a trace cannot record, or that the
            runtimes of phones lack.
    """
    # Two pictures, so that the trace cannot take the batch for a constant.
    pixels = torch.rand(2, 3, *encoder.image_size)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        try:
            with PlainAttention():
                module = torch.jit.trace(TorchScriptEncoder(encoder, precision).eval(), pixels)
            if frames:
                module = torch.jit.script(FrameEncoder(frame_preprocessing(encoder), module).eval())
        except RuntimeError as error:
            raise ExportError(
                f"The image encoder of {encoder.model_name} cannot be recorded: {error}"
            ) from error
        lacking = operators_that_phones_lack(module)
        if lacking:
            raise ExportError(
                f"The image encoder of {encoder.model_name} computes with "
                f"{', '.join(sorted(lacking))}, which PyTorch 1.13 on phones lacks; "
                "export it as .onnx."
            )
        _save(module, path, extra_files)


def frame_preprocessing(encoder: Encoder) -> FramePreprocessing:
    """What `encoder` does to a picture before it looks."""
    settings = open_clip.get_model_preprocess_cfg(encoder.model)
    return FramePreprocessing(
        encoder.image_size,
        encoder.resize_mode,
        encoder.interpolation,
        MAX_ASPECT_RATIO,
        settings.get("fill_color", 0),
    )


def encode_rounded(encoder: Encoder, pictures: Sequence[Image.Image], precision: str) -> np.ndarray:
    """Image embeddings by the encoder that a file of that precision holds, unit rows."""
    prepare, module = frame_preprocessing(encoder), TorchScriptEncoder(encoder, precision).eval()
    with torch.inference_mode():
        frames = [torch.from_numpy(np.array(picture))[None] for picture in pictures]
        rows = [module(prepare(frame)) for frame in frames]
    return torch.cat(rows).numpy()


def operators_that_phones_lack(module: torch.jit.ScriptModule) -> set[str]:
    """Operators of `module` that PyTorch 1.13 does not know, without their overloads."""
    names = {name.split(".")[0] for name in torch.jit.export_opnames(module)}
    known = _operators_of_phones()
    return {
        name
        for name in names
        if not name.startswith("prim::") and name.removeprefix("aten::") not in known
    }


@functools.cache
def _operators_of_phones() -> frozenset[str]:
    lines = _OPERATORS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _save(module: torch.jit.ScriptModule, path: Path, extra_files: dict[str, str]) -> None:
    if path.suffix == ".ptl":
        content = module._save_to_buffer_for_lite_interpreter(_extra_files=extra_files)
    else:
        content = module.save_to_buffer(_extra_files=extra_files)
    # Not by torch's own writer, which ends the whole process where the disk is full.
    path.write_bytes(content)
