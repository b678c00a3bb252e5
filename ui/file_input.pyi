"""Boxes for files that are no pictures.  Gradio writes a stub of this module beside it when run."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData

class _PathOfUpload:
    """Handlers get the uploaded file's path.  Gradio's own leaves an empty file at each use."""

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if isinstance(payload, FileData) else None

from gradio.events import Dependency

class FileButton(_PathOfUpload, gr.UploadButton):
    """`gr.UploadButton` for one file."""

    def get_block_name(self) -> str:
        return "uploadbutton"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component  # the browser's side is Gradio's

class FileBox(_PathOfUpload, gr.File):
    """`gr.File` for one file."""

    def get_block_name(self) -> str:
        return "file"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
