"""Head or image encoder → files for a phone.

The suffix of the path chooses the format.  Everything a receiver needs travels with the
weights: class names and a manifest lie inside TorchScript files and beside them in the
zip.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifiers.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.heads import FORMAT_VERSION, Head
from classifiers.loading_notes import loading_notes

TOP_K = 5

HEAD_FORMATS = {
    "pt": "TorchScript (.pt)",
    "ptl": "TorchScript lite (.ptl)",
    "zip": "Everything (.zip)",
    "safetensors": "Head (.safetensors)",
    "xml": "Android labels (.xml)",
    "txt": "Labels (.txt)",
    "json": "Manifest (.json)",
}
ENCODER_FORMATS = {"pt": "TorchScript (.pt)", "ptl": "TorchScript lite (.ptl)"}


class TorchScriptHead(nn.Module):
    """A head as the phone runs it.

    `forward(image_embedding)` takes float32 `(n, embed_dim)`, normalised or not, and
    returns probabilities float32 `(n, k)` and class indices int64 `(n, k)`, best first,
    `k = min(5, n_classes)`.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(head.weights.copy()))
        bias = torch.zeros(len(head.classes))
        if head.bias is not None:
            bias = torch.from_numpy(head.bias.copy())
        self.register_buffer("bias", bias + head.logit_bias)
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
        values, indices = torch.topk(probabilities, self.k, dim=-1)
        return values, indices


class TorchScriptEncoder(nn.Module):
    """The image encoder as the phone runs it.

    `forward(pixels)` takes float32 `(n, 3, height, width)` in [0, 1], RGB, already
    resized and cropped; normalises the channels itself; returns unit rows
    `(n, embed_dim)`.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.visual = encoder.model.visual
        self.register_buffer("mean", torch.tensor(encoder.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(encoder.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.visual((pixels - self.mean) / self.std), dim=-1)


def export_head(head: Head, path: str | Path) -> Path:
    """Writes the head to `path`, in the format its suffix names (see `HEAD_FORMATS`).

    Raises:
        ExportError: a suffix we do not write.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix in ("pt", "ptl"):
        _save_torchscript(torch.jit.script(TorchScriptHead(head).eval()), path, _extras(head))
    elif suffix == "safetensors":
        head.save(path)
    elif suffix == "xml":
        path.write_text(labels_xml(head), encoding="utf-8")
    elif suffix == "txt":
        path.write_text(labels_txt(head), encoding="utf-8")
    elif suffix == "json":
        path.write_text(_dump(manifest(head)), encoding="utf-8")
    elif suffix == "zip":
        _save_zip(head, path)
    else:
        raise ExportError(
            f"Heads are not written as “{suffix}”; choose {', '.join(HEAD_FORMATS)}."
        )
    return path


def export_encoder(encoder: Encoder, path: str | Path) -> Path:
    """Writes the image encoder as `.pt` or `.ptl`, its preprocessing in the manifest.

    Raises:
        ExportError: another suffix, or an operator that TorchScript cannot record.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix not in ENCODER_FORMATS:
        raise ExportError(
            f"Encoders are not written as “{suffix}”; choose {', '.join(ENCODER_FORMATS)}."
        )
    # Two pictures, so that the trace cannot take the batch for a constant.
    pixels = torch.rand(2, 3, *encoder.image_size)
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript's deprecation; the phone reads nothing else
        try:
            module = torch.jit.trace(TorchScriptEncoder(encoder).eval(), pixels)
        except RuntimeError as error:
            raise ExportError(
                f"The image encoder of {encoder.model_name} cannot be recorded: {error}"
            ) from error
    _save_torchscript(module, path, {"manifest.json": _dump(encoder_manifest(encoder))})
    return path


def labels_txt(head: Head) -> str:
    """The class names, one a line, in index order."""
    return "".join(f"{name}\n" for name in head.classes)


def labels_xml(head: Head) -> str:
    """The class names as an Android `string-array` resource.

    Source: Android developer guide, "String resources", on escaping.
    """
    items = "".join(f"        <item>{_android(name)}</item>\n" for name in head.classes)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<resources>\n'
        f'    <string-array name="{resource_name(head.name)}">\n{items}'
        "    </string-array>\n</resources>\n"
    )


def _android(text: str) -> str:
    for character in ("\\", "'", '"'):
        text = text.replace(character, "\\" + character)
    text = escape(text.replace("\n", "\\n"))
    return "\\" + text if text[:1] in ("@", "?") else text


def resource_name(name: str) -> str:
    """A name that Android resources, file systems and URLs all take: `cat_breeds`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()
    joined = "_".join(words)[:60]
    return joined if joined[:1].isalpha() else f"classifier_{joined}".rstrip("_")


def manifest(head: Head) -> dict[str, Any]:
    """Everything about the head but its weights and class names."""
    entries = head.metadata()
    entries["n_classes"] = len(entries.pop("classes"))
    return {**entries, "id": head.id, "embed_dim": head.embed_dim, "top_k": TOP_K}


def encoder_manifest(encoder: Encoder) -> dict[str, Any]:
    """How to feed the exported image encoder."""
    return {
        "format_version": FORMAT_VERSION,
        "model": encoder.model_name,
        "fingerprint": encoder.fingerprint,
        "embed_dim": encoder.embed_dim,
        "input": "float32 (n, 3, height, width), RGB in [0, 1]; channels are normalised inside",
        "image_size": list(encoder.image_size),
        "resize": encoder.resize_mode,
        "interpolation": encoder.interpolation,
        "crop": "center",
        "mean": list(encoder.mean),
        "std": list(encoder.std),
    }


def _extras(head: Head) -> dict[str, str]:
    return {"labels.txt": labels_txt(head), "manifest.json": _dump(manifest(head))}


def _dump(entries: dict[str, Any]) -> str:
    return json.dumps(entries, ensure_ascii=False, indent=2) + "\n"


def _save_torchscript(module: Any, path: Path, extras: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        if path.suffix == ".ptl":
            module._save_for_lite_interpreter(str(path), _extra_files=extras)
        else:
            torch.jit.save(module, str(path), _extra_files=extras)


def _save_zip(head: Head, path: Path) -> None:
    stem = resource_name(head.name)
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{stem}.pt", f"{stem}.ptl", f"{stem}.safetensors", "labels.xml", "labels.txt"]
        files = [export_head(head, Path(folder) / name) for name in names]
        digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
            archive.writestr("manifest.json", _dump({**manifest(head), "sha256": digests}))
            archive.writestr("README.md", loading_notes(head, stem))
