"""Exported files, kept: the page and the phone's API give out the same ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifiers.bounded_folder import BoundedFolder
from classifiers.errors import ExportError
from classifiers.export.export import export_encoder, export_head, resource_name
from classifiers.export.precision import check_precision
from classifiers.heads.head import Head

if TYPE_CHECKING:
    from classifiers.encoder.encoder import Encoder


class ExportCache:
    """Files of heads and encoders in `folder`, each written once."""

    def __init__(self, folder: BoundedFolder) -> None:
        self._folder = folder

    def head_file(self, head: Head, suffix: str, precision: str = "float32") -> Path:
        """`head` as `export_head` writes it.

        Raises:
            ExportError: as `export_head`; or the disk is full.
        """
        # Its name is written into the file, and is no part of its id.
        key = _key("head", head.id, head.name, suffix, precision)
        name = f"{resource_name(head.name)}.{suffix}"
        return self._file(key, name, lambda path: export_head(head, path, precision=precision))

    def encoder_file(
        self, encoder: Encoder, suffix: str, *, frames: bool = False, precision: str = "float32"
    ) -> Path:
        """The image encoder as `export_encoder` writes it.

        Raises:
            ExportError: as `export_encoder`; or the disk is full.
        """
        check_precision(precision)
        key = _key("encoder", encoder.model_name, encoder.fingerprint, suffix, precision, frames)
        name = f"encoder_{resource_name(encoder.model_name)}{'_frames' if frames else ''}.{suffix}"
        return self._file(
            key,
            name,
            lambda path: export_encoder(encoder, path, frames=frames, precision=precision),
        )

    def _file(self, key: str, name: str, write: Callable[[Path], object]) -> Path:
        try:
            return self._folder.get(key, name, write)
        except OSError as error:
            raise ExportError(
                "The server could not keep the file "
                f"({error.strerror or 'its disk cannot be written to'}); try again later."
            ) from error


def _key(*what: object) -> str:
    parts = json.dumps([_code_digest(), *what], ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Tells versions of this program apart, which may write other files."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
