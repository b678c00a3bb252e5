"""The HTTP API for the phone, under /api/v1: one request, one answer (DESIGN.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import (
    APIRouter,
    Depends,
    HTTPException,
    Query,
    Request,
    Response,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, FailFast, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser

from classifiers.errors import BusyError, ExportError, HeadError, LimitError
from classifiers.export.cache import ExportCache
from classifiers.export.export import ENCODER_FORMATS, HEAD_FORMATS, resource_name
from classifiers.export.precision import PRECISIONS
from classifiers.heads.head import Head
from classifiers.loaded_models import LoadedModels
from classifiers.words.label_lists import (
    MAX_CLASS_CHARACTERS,
    MAX_CLASSES,
    check_class_names,
    join_class_names,
    label_list_ids,
    load_label_list,
    parse_class_names,
)
from classifiers.words.prompts import MAX_TEMPLATE_CHARACTERS, MAX_TEMPLATES
from classifiers.words.typed_words import read_typed_words
from server.body_limit import MAX_PICTURE_BYTES, TOO_LARGE, has_too_many_values
from server.limits import LimitKeeper
from server.work import Line, run_while_wanted

PREFIX = "/api/v1"
DEFAULT_TEMPLATE = "This is a photo of a {}"

_CLASSIFY_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": {
                        "picture": {
                            "type": "string",
                            "format": "binary",
                            "description": "The picture.",
                        },
                        "classifier": {
                            "type": "string",
                            "default": "nouns",
                            "description": "A label set's id or a head's id.",
                        },
                    },
                }
            }
        },
    }
}

# An id tells the content, so a copy is good for ever.  A label set's name and some words do
# not: whose head they get depends on the model that this server answers with.
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=3600, must-revalidate"

PRECISION_OF_WEIGHTS = f"Of the weights: {', '.join(PRECISIONS)}."
Precision = Annotated[str, Query(description=PRECISION_OF_WEIGHTS)]

Model = TypeVar("Model", bound=BaseModel)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MEDIA_TYPES = {"zip": "application/zip", "xml": "application/xml", "txt": "text/plain",
                "json": "application/json"}  # fmt: skip


ClassName = Annotated[str, Field(max_length=MAX_CLASS_CHARACTERS)]


class NewHead(BaseModel):
    """A classifier to make from words."""

    name: str = Field("", description="What to call it.", max_length=200)
    template: str = Field(
        DEFAULT_TEMPLATE,
        description="A prompt with {} for the class; several lines are averaged.",
        max_length=MAX_TEMPLATES * (MAX_TEMPLATE_CHARACTERS + 1),
    )
    # Fails fast, or millions of wrong entries would make as many errors.
    classes: Annotated[list[ClassName], FailFast()] = Field(
        description="Class names, in index order.",
        min_length=1,
        json_schema_extra={"maxItems": MAX_CLASSES},  # which is refused in words of ours
    )
    format: str = Field("pt", description=f"One of {', '.join(HEAD_FORMATS)}.", max_length=20)
    precision: str = Field("float32", description=PRECISION_OF_WEIGHTS, max_length=20)


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


def build_api(models: LoadedModels, keeper: LimitKeeper, exports: ExportCache) -> APIRouter:
    """The routes.  What they give out as files lies in `exports`."""
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
        head = await run_while_wanted(
            request, lambda _: models.library().find(classifier), Line.HEADS
        )
        kept = ASK_AGAIN if classifier in label_list_ids() else FOR_EVER
        return await _head_response(request, exports, head, format, precision, kept)

    async def new_head(request: Request, read: Callable[[], NewHead]) -> Response:
        """Makes what `read` returns: it may be long, so it is read in the thread, too."""

        def build(progress: Callable[[int, int], None]) -> tuple[Head, NewHead]:
            wanted = read()
            _check_format(wanted.format, HEAD_FORMATS)
            names = join_class_names(wanted.classes)
            words = read_typed_words(wanted.name, wanted.template, names)
            count = partial(keeper.count_new_head, request)
            head = models.library().create(
                words.name, words.templates, words.classes, progress, count
            )
            return head, wanted

        head, wanted = await run_while_wanted(request, build, Line.HEADS)
        return await _head_response(
            request, exports, head, wanted.format, wanted.precision, ASK_AGAIN
        )

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

        def read() -> NewHead:
            names = list(parse_class_names(classes).classes)
            if not names:
                check_class_names(())
            with _errors_of_the_request():
                return NewHead(
                    name=name[:200],
                    template=template,
                    classes=names,
                    format=format,
                    precision=precision,
                )

        return await new_head(request, read)

    @api.post("/heads", tags=["heads"], openapi_extra=_body_schema(NewHead))
    async def make_head(request: Request) -> Response:
        """Makes a classifier from words and returns its head as a file."""
        body = await request.body()
        return await new_head(request, lambda: _read_json(NewHead, body))

    @api.post("/classify", tags=["classifiers"], openapi_extra=_CLASSIFY_FORM)
    async def classify(request: Request) -> Answer:
        """The five likeliest classes of a picture."""
        # Read here, so that no more than one file and a few words are ever kept of it.
        async with request.form(max_files=1, max_fields=4, max_part_size=10_000) as form:
            picture, classifier = form.get("picture"), form.get("classifier", "nouns")
            if not isinstance(picture, UploadFile) or not isinstance(classifier, str):
                raise HTTPException(422, "Send the picture as a form's file called picture.")
            return await answer_about(request, picture, classifier)

    async def answer_about(request: Request, picture: UploadFile, classifier: str) -> Answer:
        n_bytes = picture.size or 0
        if n_bytes > MAX_PICTURE_BYTES:
            raise HTTPException(413, TOO_LARGE)
        # A small one is in memory still, and needs no disk.
        in_memory = n_bytes <= MultiPartParser.spool_max_size
        source = await picture.read() if in_memory else picture.file
        # Step by step: an answer waits behind large pictures and new heads only if it needs one.
        loading = Line.ANSWERS if models.is_loaded() else Line.HEADS
        library = await run_while_wanted(request, lambda _: models.library(), loading)
        building = Line.ANSWERS if library.is_ready(classifier) else Line.HEADS
        head = await run_while_wanted(request, lambda _: library.find(classifier), building)

        def encode(_: Any) -> np.ndarray:  # at once, so that few opened pictures are in memory
            opened = models.open_picture(source, for_size=library.encoder.image_size)
            return library.encoder.encode_images([opened])

        embedding = await run_while_wanted(request, encode, Line.PICTURES)

        def answer(_: Any) -> Answer:
            prediction = head.predict(embedding)[0]
            guesses = [Guess(**guess._asdict()) for guess in prediction]
            return Answer(
                classifier=classifier,
                model=head.model,
                none_of_these=prediction.abstains,
                guesses=guesses,
            )

        return await run_while_wanted(request, answer)

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
            lambda _: exports.encoder_file(
                models.library().encoder, format, frames=frames, precision=precision
            ),
            Line.FILES,
        )
        headers = {"ETag": f'"{path.parent.name[:32]}"', "Cache-Control": ASK_AGAIN}
        if _is_known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return FileResponse(path, filename=path.name, headers=headers)

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


def _body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """For /docs, which does not see what a route reads by itself."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


@contextmanager
def _errors_of_the_request() -> Iterator[None]:
    """Errors of a model that is made from a request are the client's."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _read_json(model: type[Model], body: bytes) -> Model:
    if has_too_many_values(body):
        raise HTTPException(413, "The request holds too many values; send fewer.")
    with _errors_of_the_request():
        return model.model_validate_json(body)


def _check_format(suffix: str, formats: dict[str, str]) -> None:
    if suffix not in formats:
        raise ExportError(f"There is no format “{suffix[:20]}”; use {', '.join(formats)}.")


def _is_known(request: Request, etag: str) -> bool:
    known = [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]


async def _head_response(
    request: Request, exports: ExportCache, head: Head, suffix: str, precision: str, kept: str
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

    content = await run_while_wanted(
        request, lambda _: exports.head_file(head, suffix, precision).read_bytes(), Line.FILES
    )
    headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    media_type = _MEDIA_TYPES.get(suffix, "application/octet-stream")
    return Response(content, media_type=media_type, headers=headers)


# What a HeadsmithError means to a client, the first that fits; others are the client's words: 422.
STATUS_OF_ERRORS = {HeadError: 404, BusyError: 503, LimitError: 429}
