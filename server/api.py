"""The HTTP API for the phone, under /api/v1: one request, one answer (DESIGN.md)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    File,
    Form,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from classifiers.errors import ExportError, HeadError, LimitError
from classifiers.export import (
    ENCODER_FORMATS,
    HEAD_FORMATS,
    export_encoder,
    export_head,
    resource_name,
)
from classifiers.heads import Head
from classifiers.label_lists import (
    join_class_names,
    label_list_ids,
    load_label_list,
)
from classifiers.loading import LoadedModels
from classifiers.precision import PRECISIONS, check_precision
from classifiers.typed_words import read_typed_words
from server.body_limit import MAX_PICTURE_BYTES, TOO_LARGE
from server.limits import LimitKeeper
from server.work import run_while_wanted

if TYPE_CHECKING:
    from classifiers.library import HeadLibrary  # which imports torch

PREFIX = "/api/v1"
DEFAULT_TEMPLATE = "This is a photo of a {}"

# An id tells the content, so a copy is good for ever.  A label set's name and some words do
# not: whose head they get depends on the model that this server answers with.
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=3600, must-revalidate"

PRECISION_OF_WEIGHTS = f"Of the weights: {', '.join(PRECISIONS)}."
Precision = Annotated[str, Query(description=PRECISION_OF_WEIGHTS)]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MEDIA_TYPES = {"zip": "application/zip", "xml": "application/xml", "txt": "text/plain",
                "json": "application/json"}  # fmt: skip


class NewHead(BaseModel):
    """A classifier to make from words."""

    name: str = Field("", description="What to call it.", max_length=200)
    template: str = Field(
        DEFAULT_TEMPLATE, description="A prompt with {} for the class; several lines are averaged."
    )
    classes: list[str] = Field(description="Class names, in index order.", min_length=1)
    format: str = Field("pt", description=f"One of {', '.join(HEAD_FORMATS)}.")
    precision: str = Field("float32", description=PRECISION_OF_WEIGHTS)


class Guess(BaseModel):
    class_name: str
    probability: float
    similarity: float


class Answer(BaseModel):
    """The likeliest classes, best first."""

    classifier: str
    model: str
    none_of_these: bool = Field(description="Even the best class is probably wrong.")
    guesses: list[Guess]


class Classifier(BaseModel):
    id: str
    name: str
    description: str
    n_classes: int
    templates: list[str]


def build_api(models: LoadedModels, keeper: LimitKeeper, exports_dir: Path) -> APIRouter:
    """The routes.  Encoder files, which are large, are kept in `exports_dir`."""
    api = APIRouter(prefix=PREFIX, dependencies=[Depends(keeper.count_request)])

    # Not counted: a load balancer asks often.
    def healthz() -> dict[str, Any]:
        """Whether the model is there to answer."""
        return {"status": "ok", "model": models.default, "ready": models.is_loaded()}

    @api.get("/classifiers", tags=["classifiers"])
    def classifiers() -> list[Classifier]:
        """The ready-made label sets."""
        return [Classifier(**load_label_list(key).summary()) for key in label_list_ids()]

    @api.get("/classifiers/{classifier}/head", tags=["heads"])
    async def head_of(
        request: Request, classifier: str, format: str = "pt", precision: Precision = "float32"
    ) -> Response:
        """The head of a label set, or of a classifier that was made before, as a file."""
        _check_format(format, HEAD_FORMATS)
        head = await run_while_wanted(request, lambda _: models.library().find(classifier))
        kept = ASK_AGAIN if classifier in label_list_ids() else FOR_EVER
        return await _head_response(request, head, format, precision, kept)

    async def new_head(
        request: Request, name: str, template: str, classes: str, format: str, precision: str
    ) -> Response:
        _check_format(format, HEAD_FORMATS)
        words = read_typed_words(name, template, classes)

        def build(progress: Callable[[int, int], None]) -> Head:
            count = partial(keeper.count_new_head, request)
            return models.library().create(
                words.name, words.templates, words.classes, progress, count
            )

        head = await run_while_wanted(request, build)
        return await _head_response(request, head, format, precision, ASK_AGAIN)

    @api.get("/heads", tags=["heads"])
    async def make_head_by_query(
        request: Request,
        classes: Annotated[str, Query(description="Class names, separated by commas.")],
        name: str = "",
        template: str = DEFAULT_TEMPLATE,
        format: str = "pt",
        precision: Precision = "float32",
    ) -> Response:
        """Makes a classifier from words and returns its head as a file."""
        return await new_head(request, name, template, classes, format, precision)

    @api.post("/heads", tags=["heads"])
    async def make_head(request: Request, wanted: NewHead) -> Response:
        """Makes a classifier from words and returns its head as a file."""
        names = join_class_names(wanted.classes)
        return await new_head(
            request, wanted.name, wanted.template, names, wanted.format, wanted.precision
        )

    @api.post("/classify", tags=["classifiers"])
    async def classify(
        request: Request,
        picture: Annotated[UploadFile, File(description="The picture.")],
        classifier: Annotated[str, Form(description="A label set's id or a head's id.")] = "nouns",
    ) -> Answer:
        """The five likeliest classes of a picture."""
        data = await picture.read(MAX_PICTURE_BYTES + 1)
        if len(data) > MAX_PICTURE_BYTES:
            raise HTTPException(413, TOO_LARGE)

        def work(_: Any) -> Answer:
            library = models.library()
            head = library.find(classifier)
            prediction = head.predict(library.encoder.encode_picture(data))[0]
            guesses = [Guess(**guess._asdict()) for guess in prediction]
            return Answer(
                classifier=classifier,
                model=head.model,
                none_of_these=prediction.abstains,
                guesses=guesses,
            )

        return await run_while_wanted(request, work)

    @api.get("/encoder", tags=["heads"])
    async def encoder(
        request: Request,
        format: str = "pt",
        frames: Annotated[bool, Query(description="Take camera frames, uint8, any size.")] = False,
        precision: Precision = "float32",
    ) -> Response:
        """The image encoder that all heads of this model run beside, as a file."""
        _check_format(format, ENCODER_FORMATS)
        path = await run_while_wanted(
            request,
            lambda _: _encoder_file(models.library(), format, frames, precision, exports_dir),
        )
        headers = {"ETag": f'"{path.stem}-{format}"', "Cache-Control": ASK_AGAIN}
        if _is_known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        name = f"encoder_{resource_name(models.library().encoder.model_name)}.{format}"
        return FileResponse(path, filename=name, headers=headers)

    whole = APIRouter()
    whole.add_api_route(f"{PREFIX}/healthz", healthz, tags=["server"])
    whole.include_router(api)
    _close(whole, [route for route in (*whole.routes, *api.routes) if isinstance(route, APIRoute)])
    return whole


def _close(whole: APIRouter, routes: list[APIRoute]) -> None:
    """Answers what none of `routes` does; else the page, which is mounted below, would."""

    def elsewhere(request: Request) -> None:
        matching = [route for route in routes if route.path_regex.match(request.url.path)]
        methods = ", ".join(sorted({method for r in matching for method in r.methods or ()}))
        if methods:
            raise HTTPException(
                405, f"Use {methods} at this address; /docs shows how.", {"Allow": methods}
            )
        raise HTTPException(404, "There is nothing at this address; /docs lists what there is.")

    whole.add_api_route(
        PREFIX + "/{path:path}", elsewhere, methods=_METHODS, include_in_schema=False
    )


def _check_format(suffix: str, formats: dict[str, str]) -> None:
    if suffix not in formats:
        raise ExportError(f"There is no format “{suffix[:20]}”; use {', '.join(formats)}.")


def _is_known(request: Request, etag: str) -> bool:
    known = [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]


async def _head_response(
    request: Request, head: Head, suffix: str, precision: str, kept: str
) -> Response:
    """The file of `head`, or 304 where the client has it."""
    name = hashlib.sha256(head.name.encode()).hexdigest()[:8]  # the name is in the file too
    headers = {
        # Weak: the same head is not always the same bytes (a zip holds the time).
        "ETag": f'W/"{head.id}-{name}-{precision}-{suffix}"',
        "Cache-Control": kept,
        "X-Classifier-Id": head.id,
    }
    if _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    file_name = f"{resource_name(head.name)}.{suffix}"

    def write(_: Any) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = export_head(head, Path(folder) / file_name, precision=precision)
            return path.read_bytes()

    content = await run_while_wanted(request, write)
    headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    media_type = _MEDIA_TYPES.get(suffix, "application/octet-stream")
    return Response(content, media_type=media_type, headers=headers)


def _encoder_file(
    library: HeadLibrary, suffix: str, frames: bool, precision: str, exports_dir: Path
) -> Path:
    """The encoder's file, written once for each version of the weights."""
    check_precision(precision)  # it becomes part of a path
    encoder = library.encoder
    variant = f"{'frames' if frames else 'pixels'}-{precision}"
    path = exports_dir / f"{encoder.fingerprint}-{variant}.{suffix}"
    with library.export_lock:
        if not path.is_file():
            exports_dir.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.stem}.part.{suffix}")
            export_encoder(encoder, partial, frames=frames, precision=precision).replace(path)
    return path


# What a HeadsmithError means to a client; others are the client's words: 422.
STATUS_OF_ERRORS = {HeadError: 404, LimitError: 429}
