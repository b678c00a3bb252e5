"""The upload box for pictures.  Gradio writes a stub of this module beside it when run."""

from __future__ import annotations

import gradio as gr
from gradio.data_classes import ImageData

from classifiers.errors import HeadsmithError
from ui.messages import api_error
from ui.uploads import keep_picture, read_data_url

# Gradio drops, without a word, files that the browser does not call pictures: HEIC on most
# systems.  This calls every file one, so that the server can say what it is; and it takes
# what is dropped onto a picture that is there already.
ANY_FILE_JS = """() => {
    const input = () => document.querySelector('#hs-picture input[type=file]');
    const isInput = (target) => target instanceof HTMLInputElement && target === input();
    const asPictures = (files) => {
        const transfer = new DataTransfer();
        for (const file of files) {
            const type = file.type.startsWith('image/') ? file.type : 'image/unknown';
            transfer.items.add(new File([file], file.name, {type}));
        }
        return transfer.files;
    };
    document.addEventListener('click', (event) => {
        if (isInput(event.target)) event.target.accept = 'image/*,.heic,.heif,.avif';
    }, true);
    document.addEventListener('change', (event) => {
        if (isInput(event.target)) event.target.files = asPictures(event.target.files);
    }, true);
    document.addEventListener('dragover', (event) => {
        if (input() && event.target.closest('#hs-picture')) event.preventDefault();
    }, true);
    document.addEventListener('drop', (event) => {
        const files = event.dataTransfer.files;
        if (!input() || !files.length || !event.target.closest('#hs-picture')) return;
        event.preventDefault();
        event.stopPropagation();
        input().files = asPictures([files[0]]);
        input().dispatchEvent(new Event('change', {bubbles: true}));
    }, true);
}"""


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
        if payload.url and payload.url.startswith("data:"):  # a client's own encoding
            return keep_picture(*_decoded(payload.url))
        return payload.path


class CameraInput(PictureInput):
    """The live camera: its handler gets a frame's bytes, or the path of its file."""

    def preprocess(self, payload: ImageData | None) -> str | bytes | None:  # type: ignore[override]
        if payload is not None and payload.url and payload.url.startswith("data:"):
            return _decoded(payload.url)[0]
        return super().preprocess(payload)


def _decoded(url: str) -> tuple[bytes, str]:
    try:
        return read_data_url(url)
    except HeadsmithError as error:
        raise api_error(error) from error
