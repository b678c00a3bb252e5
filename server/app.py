"""The API and the walls before the page, in one FastAPI application.  Knows no Gradio."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from classifiers.errors import HeadsmithError, LimitError
from classifiers.export.cache import ExportCache
from classifiers.loaded_models import LoadedModels
from server.api import PREFIX, STATUS_OF_ERRORS, build_api
from server.body_limit import OF_PICTURES, BodyBound, BodyLimit
from server.limits import LimitKeeper
from server.page_gate import PageGate
from server.upload_quota import UploadQuota


def build_server(
    models: LoadedModels,
    keeper: LimitKeeper,
    exports: ExportCache,
    quota: UploadQuota,
    *,
    functions: Collection[str | int] = (),
    parameters: Mapping[str, Mapping[str, bool]] | None = None,
    trusts_proxy: bool = False,
) -> FastAPI:
    """The application without the page, which is mounted at / by whoever has one.

    The API is under /api/v1, its description at /docs.

    Args:
        exports: what the API gives out as files.
        quota: of the folder of uploads.
        functions: names and numbers of the page's functions.
        parameters: of each named function its parameters, and whether each must be given.
        trusts_proxy: whether a proxy's word for the address that was asked for is believed.
    """
    # FastAPI's own /docs loads its scripts from another host; this serves them itself.
    app: FastAPI = FastAPIOffline(
        title="Headsmith",
        description="Classifier heads for the phone: made from words, served as files.",
        redoc_url=None,
        static_url="/docs-assets",
        swagger_ui_parameters={"validatorUrl": None},  # which would be another host, too
    )
    app.add_middleware(
        PageGate,
        quota=quota,
        functions=functions,
        parameters=parameters,
        trusts_proxy=trusts_proxy,
    )
    app.add_middleware(BodyLimit, bounds=_BOUNDS)
    app.add_exception_handler(HeadsmithError, _tell)
    app.add_exception_handler(Exception, _tell_defect)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.include_router(build_api(models, keeper, exports))
    return app


# A picture may come as a data: URL, which is a third longer; larger ones are uploaded.
_UPLOAD_INSTEAD = "upload a large picture instead"
_OF_THE_PAGE = BodyBound(6_000_000, f"More than 6 MB were sent at once; {_UPLOAD_INSTEAD}.")
_OF_ASSISTANTS = BodyBound(24_000_000, f"More than 24 MB were sent at once; {_UPLOAD_INSTEAD}.")
_OF_SIGNALS = BodyBound(10_000, "More was sent than is needed to cancel something.")
_BOUNDS = {
    f"{PREFIX}/classify": OF_PICTURES,
    "/gradio_api/upload": BodyBound(
        OF_PICTURES.max_bytes, "The file is too large: 50 MB is the most.", in_memory=False
    ),
    "/gradio_api/mcp": _OF_ASSISTANTS,
    "/gradio_api/cancel": _OF_SIGNALS,
    "/gradio_api/reset": _OF_SIGNALS,
    "/gradio_api/": _OF_THE_PAGE,
}


async def _tell(_: Request, error: Exception) -> JSONResponse:
    status = next((s for kind, s in STATUS_OF_ERRORS.items() if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, LimitError) else None
    return JSONResponse({"detail": str(error)}, status, headers)


async def _tell_defect(_: Request, error: Exception) -> JSONResponse:
    """Of a defect of ours the client hears nothing but that; the server logs the traceback."""
    return JSONResponse(
        {"detail": "The server made a mistake; try again, and report it if it happens again."}, 500
    )


async def _tell_invalid(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's list of errors as one sentence."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    sentence = f"{where or 'The request'}: {first['msg']}; /docs shows what is expected."
    return JSONResponse({"detail": sentence}, 422)
