"""Picture files on their way between browser and handlers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from PIL import Image

# What every browser shows as it is; anything else is shown as a JPEG of our making.
_SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
_SHOWN_PIXELS = 1600  # longest side of that JPEG


def restorable(path: Any) -> str | None:
    """`path` if it is a picture that was uploaded here, else None.

    The path comes back from a browser, which may send any.
    """
    if not path or not isinstance(path, str):
        return None
    try:
        resolved = Path(path).resolve()
        resolved.relative_to(Path(processing_utils.get_upload_folder()).resolve())
    except (ValueError, OSError):
        return None
    return str(resolved) if resolved.is_file() else None


def shown_file(path: str, picture: Image.Image) -> str:
    """A file of `picture` that browsers can show: `path` itself where they can."""
    if Path(path).suffix.lower() in _SHOWN_BY_BROWSERS:
        return path
    smaller = picture.copy()
    smaller.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    with tempfile.NamedTemporaryFile(suffix=".jpg", delete=False) as file:
        smaller.save(file, "JPEG", quality=90)
    return file.name


def example_pictures() -> list[str]:
    """Photographs that come with Gradio's wheel, where it still brings them."""
    folder = Path(gr.__file__).parent / "media_assets" / "images"
    names = ("lion.jpg", "cheetah1.jpg", "tower.jpg", "bus.png")
    return [str(folder / name) for name in names if (folder / name).is_file()]
