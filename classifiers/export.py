"""Head or image encoder → files for a phone.

The suffix of the path chooses the format.  Everything a receiver needs travels with the
weights: class names and a manifest lie inside TorchScript files and beside them in the
zip.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from classifiers.errors import ExportError
from classifiers.heads import FORMAT_VERSION, Head
from classifiers.loading_notes import loading_notes

if TYPE_CHECKING:
    from classifiers.encoder import Encoder

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


def export_head(head: Head, path: str | Path) -> Path:
    """Writes the head to `path`, in the format its suffix names (see `HEAD_FORMATS`).

    Raises:
        ExportError: a suffix we do not write.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix in ("pt", "ptl"):
        # torch is imported late: the page lists the formats before it is there.
        from classifiers.torchscript import save_torchscript_head

        save_torchscript_head(head, path, _extras(head))
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
        raise ExportError(f"Heads are not written as “{suffix}”; choose {', '.join(HEAD_FORMATS)}.")
    return path


def renamed(head: Head, name: str) -> Head:
    """`head` under another name.

    Two people who type the same classes share one stored head, each with a name for it.
    """
    return dataclasses.replace(head, name=name)


def estimate_head_bytes(head: Head, suffix: str) -> int:
    """About how large `export_head` would make the file; for a person, before exporting."""
    weights, labels = head.weights.nbytes, len(labels_txt(head).encode())
    if suffix in ("txt", "xml"):
        return labels if suffix == "txt" else len(labels_xml(head).encode())
    if suffix == "json":
        return len(_dump(manifest(head)).encode())
    # Float32 weights hardly compress, so the zip is its three files of weights.
    return weights + labels if suffix != "zip" else 3 * (weights + labels)


def export_encoder(encoder: Encoder, path: str | Path) -> Path:
    """Writes the image encoder as `.pt` or `.ptl`, its preprocessing in the manifest.

    Raises:
        ExportError: another suffix, or a tower that TorchScript cannot record.
    """
    from classifiers.torchscript import save_torchscript_encoder

    path = Path(path)
    suffix = path.suffix.lstrip(".")
    if suffix not in ENCODER_FORMATS:
        raise ExportError(
            f"Encoders are not written as “{suffix}”; choose {', '.join(ENCODER_FORMATS)}."
        )
    save_torchscript_encoder(encoder, path, {"manifest.json": _dump(encoder_manifest(encoder))})
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
    return {**entries, "id": head.id, "embed_dim": head.embed_dim}


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
