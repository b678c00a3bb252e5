"""Page and API in one FastAPI application."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from classifiers.errors import HeadsmithError
from classifiers.loading import LoadedModels
from server.api import STATUS_OF_ERRORS, build_api
from server.limits import LimitKeeper, Limits

_log = logging.getLogger(__name__)


def build_server(
    models: LoadedModels, page: gr.Blocks, limits: Limits, exports_dir: Path, **gradio: Any
) -> FastAPI:
    """The application: the API under /api/v1, its description at /docs, the page at /.

    Args:
        gradio: passed on to `gr.mount_gradio_app`: look, upload limits.
    """
    app = FastAPI(
        title="Headsmith",
        description="Classifier heads for the phone: made from words, served as files.",
        redoc_url=None,
    )
    app.add_exception_handler(HeadsmithError, _tell)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.include_router(build_api(models, LimitKeeper(limits), exports_dir))
    return gr.mount_gradio_app(app, page, path="/", **gradio)


async def _tell(_: Request, error: Exception) -> JSONResponse:
    status = next((s for kind, s in STATUS_OF_ERRORS.items() if isinstance(error, kind)), 422)
    return JSONResponse({"detail": str(error)}, status)


async def _tell_invalid(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's list of errors as one sentence."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    return JSONResponse({"detail": f"{where or 'The request'}: {first['msg']}."}, 422)
