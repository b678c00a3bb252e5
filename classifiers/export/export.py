"""Head or image encoder → files for a phone.

The suffix of the path chooses the format.  Everything a receiver needs travels with the
weights: class names and a manifest lie inside TorchScript files and beside them in the
zip.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from classifiers.errors import ExportError
from classifiers.export.export_readme import export_readme
from classifiers.export.precision import BYTES_PER_WEIGHT, check_precision
from classifiers.heads.head import FORMAT_VERSION, Head

if TYPE_CHECKING:
    from classifiers.encoder.encoder import Encoder

HEAD_FORMATS = {
    "pt": "TorchScript (.pt)",
    "ptl": "TorchScript lite (.ptl)",
    "zip": "Everything (.zip)",
    "onnx": "ONNX (.onnx)",
    "pte": "ExecuTorch (.pte)",
    "safetensors": "Head (.safetensors)",
    "xml": "Android labels (.xml)",
    "txt": "Labels (.txt)",
    "json": "Manifest (.json)",
}
ENCODER_FORMATS = {
    "pt": "TorchScript (.pt)",
    "ptl": "TorchScript lite (.ptl)",
    "onnx": "ONNX (.onnx)",
    "pte": "ExecuTorch (.pte)",
}
_JAVA_WORDS = (
    "abstract assert boolean break byte case catch char class const continue default do double "
    "else enum extends false final finally float for goto if implements import instanceof int "
    "interface long native new null package private protected public return short static strictfp "
    "super switch synchronized this throw throws transient true try void volatile while"
)
FRAME_FORMATS = ("pt", "ptl")  # encoders in these may take camera frames
ROUNDED_FORMATS = ("pt", "ptl", "onnx", "pte", "zip")  # may hold weights of fewer bits
OPTIONAL_LIBRARIES = {"onnx": "onnx", "pte": "executorch"}


def export_head(head: Head, path: str | Path, *, precision: str = "float32") -> Path:
    """Writes the head to `path`, in the format its suffix names (see `HEAD_FORMATS`).

    Args:
        precision: one of `precision.PRECISIONS`; fewer bits change the answers a little
            (see `precision.measure_change`).

    Raises:
        ExportError: a suffix we do not write, or a library for it that is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix not in HEAD_FORMATS:
        raise ExportError(f"Heads are not written as “{suffix}”; choose {', '.join(HEAD_FORMATS)}.")
    _check_precision(suffix, precision)
    _check_library(suffix)
    # torch is imported late: the page lists the formats before it is there.
    if suffix in ("pt", "ptl"):
        from classifiers.export.torchscript import save_torchscript_head

        save_torchscript_head(head, path, _extras(head, precision), precision)
    elif suffix == "onnx":
        from classifiers.export.onnx_files import save_onnx_head

        save_onnx_head(head, path, _extras(head, precision), precision)
    elif suffix == "pte":
        from classifiers.export.executorch_files import save_executorch_head

        save_executorch_head(head, path, precision)
    elif suffix == "safetensors":
        head.save(path)
    elif suffix == "zip":
        _save_zip(head, path, precision)
    else:
        texts = {"xml": labels_xml, "txt": labels_txt, "json": lambda h: _dump(manifest(h))}
        path.write_text(texts[suffix](head), encoding="utf-8")
    return path


def missing_library(suffix: str) -> str:
    """The optional library that the format needs and this machine lacks, else empty."""
    library = OPTIONAL_LIBRARIES.get(suffix, "")
    return library if library and importlib.util.find_spec(library) is None else ""


def _check_library(suffix: str) -> None:
    library = missing_library(suffix)
    if library:
        raise ExportError(
            f"Files for {HEAD_FORMATS[suffix]} need the library {library}, which is not installed "
            "here; run “pip install -r requirements-export.txt” or choose another format."
        )


def _check_precision(suffix: str, precision: str) -> None:
    check_precision(precision)
    if precision != "float32" and suffix not in ROUNDED_FORMATS:
        raise ExportError(
            f"A .{suffix} file holds no weights of “{precision}”; "
            f"choose {', '.join(ROUNDED_FORMATS)}, or float32."
        )


TORCHSCRIPT_BYTES = 6_000  # code and layout of a head beside its weights


def estimate_head_bytes(head: Head, suffix: str, precision: str = "float32") -> int:
    """About how large `export_head` would make the file; for a person, before exporting."""
    labels = len(labels_txt(head).encode())
    if suffix in ("txt", "xml"):
        return labels if suffix == "txt" else len(labels_xml(head).encode())
    if suffix == "json":
        return len(_dump(manifest(head)).encode())
    weights = head.weights.size * BYTES_PER_WEIGHT[precision]
    if suffix == "zip":
        # Weights hardly compress, so the zip is its files of weights.
        rounded = len(_zipped_formats()) - 1
        return rounded * (weights + labels) + head.weights.nbytes + labels
    if suffix in ("pt", "ptl"):
        return weights + labels + TORCHSCRIPT_BYTES
    return weights if suffix == "pte" else weights + labels


def export_encoder(
    encoder: Encoder, path: str | Path, *, frames: bool = False, precision: str = "float32"
) -> Path:
    """Writes the image encoder in the format its suffix names (see `ENCODER_FORMATS`).

    Args:
        frames: make it take camera frames, uint8 `(n, height, width, 3)` of any size, which
            it resizes and crops itself; for `FRAME_FORMATS`.
        precision: as `export_head` has it.

    Raises:
        ExportError: another suffix, a tower that cannot be recorded or computes with what
            the runtime lacks, or a library that is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix not in ENCODER_FORMATS:
        raise ExportError(
            f"Encoders are not written as “{suffix}”; choose {', '.join(ENCODER_FORMATS)}."
        )
    if frames and suffix not in FRAME_FORMATS:
        raise ExportError(
            f"Encoders for camera frames are not written as “{suffix}”; "
            f"choose {', '.join(FRAME_FORMATS)}."
        )
    _check_precision(suffix, precision)
    _check_library(suffix)
    extras = {"manifest.json": _dump(encoder_manifest(encoder, frames, precision))}
    if suffix == "onnx":
        from classifiers.export.onnx_files import save_onnx_encoder

        save_onnx_encoder(encoder, path, extras, precision)
    elif suffix == "pte":
        from classifiers.export.executorch_files import save_executorch_encoder

        save_executorch_encoder(encoder, path, precision)
    else:
        from classifiers.export.torchscript import save_torchscript_encoder

        save_torchscript_encoder(encoder, path, extras, frames=frames, precision=precision)
    return path


def labels_txt(head: Head) -> str:
    """The class names, one a line, in index order."""
    # A line break within a name, as a loaded head may have, would shift all that follow.
    return "".join(f"{' '.join(name.splitlines())}\n" for name in head.classes)


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


# What XML 1.0 cannot hold even escaped, and the return that its readers change.
_NOT_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


def _android(text: str) -> str:
    text = _NOT_XML.sub(" ", text)
    for character in ("\\", "'", '"'):
        text = text.replace(character, "\\" + character)
    text = escape(text.replace("\n", "\\n"))
    return "\\" + text if text[:1] in ("@", "?") else text


def resource_name(name: str) -> str:
    """A name that Android resources, file systems and URLs all take: `cat_breeds`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()
    joined = "_".join(words)[:60]
    if not joined[:1].isalpha():
        return f"classifier_{joined}".rstrip("_")
    # Resources become fields of the Java class R.
    return f"{joined}_classifier" if joined in _JAVA_WORDS.split() else joined


def manifest(head: Head) -> dict[str, Any]:
    """Everything about the head but its weights and class names."""
    entries = head.metadata()
    entries["n_classes"] = len(entries.pop("classes"))
    return {**entries, "id": head.id, "embed_dim": head.embed_dim}


def encoder_manifest(
    encoder: Encoder, frames: bool = False, precision: str = "float32"
) -> dict[str, Any]:
    """How to feed the exported image encoder."""
    pixels = "float32 (n, 3, height, width), RGB in [0, 1]; channels are normalised inside"
    camera = "uint8 (n, any height, any width, 3), RGB, upright; resized and cropped inside"
    return {
        "format_version": FORMAT_VERSION,
        "model": encoder.model_name,
        "fingerprint": encoder.fingerprint,
        "embed_dim": encoder.embed_dim,
        "weights": precision,
        "input": camera if frames else pixels,
        "image_size": list(encoder.image_size),
        "resize": encoder.resize_mode,
        "interpolation": encoder.interpolation,
        "crop": "center",
        "mean": list(encoder.mean),
        "std": list(encoder.std),
    }


def _extras(head: Head, precision: str) -> dict[str, str]:
    return {
        "labels.txt": labels_txt(head),
        "manifest.json": _dump({**manifest(head), "weights": precision}),
    }


def _dump(entries: dict[str, Any]) -> str:
    return json.dumps(entries, ensure_ascii=False, indent=2) + "\n"


def _zipped_formats() -> list[str]:
    """The files of weights in a zip: those whose libraries are there."""
    formats = ["pt", "ptl", "safetensors", *OPTIONAL_LIBRARIES]
    return [suffix for suffix in formats if not missing_library(suffix)]


def _save_zip(head: Head, path: Path, precision: str) -> None:
    stem = resource_name(head.name)
    formats = _zipped_formats()
    names = [*(f"{stem}.{suffix}" for suffix in formats), "labels.xml", "labels.txt"]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name in names:
            bits = precision if name.endswith(ROUNDED_FORMATS) else "float32"
            files.append(export_head(head, Path(folder) / name, precision=bits))
        digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        entries = {**manifest(head), "weights": precision, "sha256": digests}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
            archive.writestr("manifest.json", _dump(entries))
            archive.writestr("README.md", export_readme(head, stem, formats))
