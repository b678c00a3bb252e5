"""The picture in hand: an upload box that lets us read the file ourselves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradio as gr
from gradio import processing_utils
from PIL import Image

from classifiers.images import open_picture

# What every browser shows as it is; anything else is shown as a JPEG of our making.
_SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
_SHOWN_PIXELS = 1600  # longest side of that JPEG

from gradio.events import Dependency

class PictureInput(gr.Image):
    """`gr.Image` whose handler gets the uploaded file's path, whatever is in the file.

    Gradio's own preprocessing opens the file first and answers a damaged or renamed one
    with a traceback; `images.open_picture` answers with a sentence.
    """

    def get_block_name(self) -> str:
        return "image"  # the browser's side is gr.Image's

    def preprocess(self, payload):  # type: ignore[no-untyped-def,override]
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # a webcam or pasted picture
            path = processing_utils.save_base64_to_cache(payload.url, self.GRADIO_CACHE)
            return str(path)
        return payload.path
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def restorable(path: str | None) -> str | None:
    """`path` if it is a picture that was uploaded here, else None.

    The path comes back from a browser, which may send any.
    """
    if not path:
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


__all__ = ["PictureInput", "example_pictures", "open_picture", "restorable", "shown_file"]