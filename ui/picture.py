"""Picture files on their way between browser and handlers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image

from classifiers.images import AVERAGED_MARGIN
from classifiers.loaded_models import LoadedModels
from ui.uploads import is_upload, keep_picture, open_upload

if TYPE_CHECKING:
    from classifiers.encoder.encoder import Encoder  # which imports torch

# What every browser shows as it is; anything else is shown as a JPEG of our making.
_SHOWN_BY_BROWSERS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
EXAMPLES_DIR = Path(gr.__file__).parent / "media_assets" / "images"
_SHOWN_PIXELS = 1600  # longest side of that JPEG


def restorable(path: Any) -> str | None:
    """`path` if it is a picture that was uploaded here, else None.

    The path comes back from a browser, which may send any.
    """
    return path if isinstance(path, str) and is_upload(path) else None


def open_upload_as_picture(
    models: LoadedModels, path: str, for_size: tuple[int, int]
) -> Image.Image:
    """The picture that was uploaded to `path`; arguments as `images.open_picture`.

    Raises:
        HeadsmithError: no upload is there, or no picture in it.
    """
    with open_upload(path) as file:
        return models.open_picture(file, for_size=for_size)


def encode_upload(models: LoadedModels, encoder: Encoder, path: str) -> np.ndarray:
    """float32 `(1, embed_dim)`, unit row, of the picture that was uploaded to `path`.

    Raises:
        HeadsmithError: as `open_upload_as_picture`.
    """
    return encoder.encode_images([open_upload_as_picture(models, path, encoder.image_size)])


def is_shown_by_browsers(path: str) -> bool:
    """Whether the page can show the file at `path` as it is."""
    return Path(path).suffix.lower() in _SHOWN_BY_BROWSERS


def larger(size: tuple[int, int]) -> tuple[int, int]:
    """The size to open a picture for that is both looked at by a model and shown."""
    shown = _SHOWN_PIXELS // AVERAGED_MARGIN
    return max(size[0], shown), max(size[1], shown)


def shown_file(path: str, picture: Image.Image) -> str:
    """A file of `picture` that browsers can show: `path` itself where they can."""
    if is_shown_by_browsers(path):
        return path
    smaller = picture.copy()
    smaller.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    data = io.BytesIO()
    smaller.save(data, "JPEG", quality=90)
    return keep_picture(data.getvalue(), ".jpg")


def example_pictures() -> list[str]:
    """Photographs that come with Gradio's wheel, where it still brings them."""
    names = ("lion.jpg", "cheetah1.jpg", "tower.jpg")
    return [str(EXAMPLES_DIR / name) for name in names if (EXAMPLES_DIR / name).is_file()]
