"""The upload box for pictures.  Gradio writes a stub of this module beside it when run."""

from __future__ import annotations

import gradio as gr
from gradio import processing_utils
from gradio.data_classes import ImageData


class PictureInput(gr.Image):
    """`gr.Image` whose handler gets the uploaded file's path, whatever is in the file.

    Gradio's own preprocessing opens the file first and answers a damaged or renamed one
    with a traceback; `images.open_picture` answers with a sentence.
    """

    def get_block_name(self) -> str:
        return "image"  # the browser's side is gr.Image's

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):  # a webcam or pasted picture
            path = processing_utils.save_base64_to_cache(payload.url, self.GRADIO_CACHE)
            return str(path)
        return payload.path
