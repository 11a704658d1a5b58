"""JSON routes of images. What is read most (metadata, originals, thumbnails) has a door of its own: `delivery`."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import Response as PlainResponse
from pydantic import BaseModel, Field

from chitram.bootstrap import Application
from chitram.domain.access import Viewer
from chitram.domain.errors import ChitramError, MethodNotAllowed, RateLimitExceeded, ValidationFailed
from chitram.domain.images import Visibility
from chitram.domain.limits import SIMILAR, VERIFY
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.entrypoints.api.openapi import upload_links
from chitram.entrypoints.support.addresses import limit_subject
from chitram.entrypoints.support.asgi import CLIENT, REPLY_HEADERS, header_map
from chitram.entrypoints.support.auth import viewer_from
from chitram.entrypoints.support.body import Pace, RequestBody
from chitram.entrypoints.support.links import base_url
from chitram.entrypoints.support.multipart import UploadForm
from chitram.entrypoints.support.pagination import decode_cursor, encode_cursor
from chitram.entrypoints.support.queries import parse_query
from chitram.entrypoints.support.rate_limits import rate_limit_fields
from chitram.entrypoints.support.representations import metadata, render, timestamp, upload_response
from chitram.entrypoints.support.schemas import ErrorResponse, ImageMetadata, UploadResponse
from chitram.entrypoints.support.wiring import wired
from chitram.ports.limiter import Verdict

router = APIRouter(prefix="/api/v1/images", tags=["images"])

MAX_PAGE = 100
DEFAULT_PAGE = 24


class ImagePage(BaseModel):
    """A page of a list. Ask for the next one with `cursor`; there is none when `next_cursor` is null."""

    items: list[ImageMetadata]
    next_cursor: str | None


class Checksum(BaseModel):
    """The digest of the bytes as stored and served."""

    algorithm: Literal["sha256"] = "sha256"
    sha256: str
    file_size: int


class VerificationResponse(BaseModel):
    """Whether the stored bytes, read again just now, are what they should be."""

    match: bool
    sha256: str
    stored_sha256: str | None = Field(description="null when the bytes are missing.")
    verified_at: str


class SimilarImage(ImageMetadata):
    """An image that looks like another one."""

    distance: int = Field(description="Differing bits of the two perceptual hashes, 0 to 64.")


class SimilarImages(BaseModel):
    """Near-duplicates, nearest first."""

    items: list[SimilarImage]


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The picture."},
                        "visibility": {
                            "type": "string",
                            "enum": [Visibility.PUBLIC, Visibility.UNLISTED],
                            "description": "Who sees it; otherwise as the server is set.",
                        },
                    },
                }
            }
        },
    }
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorResponse} for status in statuses}


TOKEN_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "X-Delete-Token",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The delete token that the upload answered.",
        },
        {
            "name": "delete_token",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "The same; the header is the better place, because addresses end up in logs.",
        },
    ]
}


@router.post(
    "/upload",
    summary="Upload a picture",
    status_code=201,
    response_model=UploadResponse,
    responses={201: {"links": upload_links()}, **_errors(400, 401, 408, 413, 422, 429, 503, 507)},
    openapi_extra=UPLOAD_BODY,
)
async def upload(request: Request) -> Response:
    """Upload a picture as the field `file` of a form."""
    application = wired(request)
    try:
        uploaded = await _admit_and_receive(application, request)
    except ChitramError as error:
        application.metrics.upload_refused(error.code)
        raise
    application.metrics.upload_finished(uploaded.record.blob.size)
    body = upload_response(
        uploaded.record, base=_base(application, request), delete_token=uploaded.delete_token, duplicate_of=None
    )
    headers = {"Location": f"{_base(application, request)}{router.prefix}/{uploaded.record.image.id}"}
    return _json(body, status=201, headers=headers)


@router.delete("/upload", include_in_schema=False)
async def refuse_deletion() -> Response:
    """Keep this address from being taken for an image's."""
    raise MethodNotAllowed(details={"allow": ["POST"]})


@router.get("", summary="Public images, newest first", response_model=ImagePage, responses=_errors(401, 422, 503))
async def list_public(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most images of the page.")] = DEFAULT_PAGE,
) -> Response:
    """Public images, newest first."""
    application = wired(request)
    _viewer(request)
    after = decode_cursor(cursor, secret=application.secret) if cursor is not None else None
    page = await application.images.list_public(after=after, limit=limit)
    base = _base(application, request)
    next_cursor = encode_cursor(page.next, secret=application.secret) if page.next else None
    headers = {"Cache-Control": "no-cache"}
    if next_cursor:
        query = urlencode({"cursor": next_cursor, "limit": limit})
        headers["Link"] = f'<{base}{router.prefix}?{query}>; rel="next"'
    items = [metadata(record, base=base) for record in page.records]
    return _json({"items": items, "next_cursor": next_cursor}, headers=headers)


@router.get(
    "/{image_id}/checksum",
    summary="Digest and length of the stored bytes",
    response_model=Checksum,
    responses=_errors(401, 404, 422, 503),
)
async def checksum(request: Request, image_id: str) -> Response:
    """The digest and the length of the stored bytes."""
    found = await wired(request).images.find(image_id, viewer=_viewer(request))
    blob = found.record.blob
    return _json({"algorithm": "sha256", "sha256": blob.sha256, "file_size": blob.size})


@router.post(
    "/{image_id}/verify",
    summary="Compare the stored bytes with their digest",
    response_model=VerificationResponse,
    responses=_errors(401, 403, 404, 422, 429, 503),
    openapi_extra=TOKEN_PARAMETERS,
)
async def verify(request: Request, image_id: str) -> Response:
    """Read the stored bytes again and compare them with their digest."""
    application = wired(request)
    viewer = _viewer(request)
    await _count(application, request, budget=VERIFY)
    result = await application.integrity.verify(image_id, viewer=viewer)
    return _json(
        {
            "match": result.match,
            "sha256": result.sha256,
            "stored_sha256": result.stored_sha256,
            "verified_at": timestamp(result.verified_at),
        }
    )


@router.get(
    "/{image_id}/similar",
    summary="Public images that look like this one",
    response_model=SimilarImages,
    responses=_errors(401, 404, 422, 429, 503),
)
async def similar(
    request: Request,
    image_id: str,
    distance: Annotated[int, Query(ge=0, le=16, description="Most differing bits.")] = 8,
) -> Response:
    """Public images that look like this one."""
    application = wired(request)
    await _count(application, request, budget=SIMILAR)
    matches = await application.images.similar(image_id, distance=distance, viewer=_viewer(request))
    base = _base(application, request)
    return _json({"items": [metadata(m.record, base=base) | {"distance": m.distance} for m in matches]})


@router.delete(
    "/{image_id}",
    summary="Delete an image",
    status_code=204,
    responses=_errors(401, 403, 404, 422, 503),
    openapi_extra=TOKEN_PARAMETERS,
)
async def delete(request: Request, image_id: str) -> Response:
    """Delete an image. Nobody is shown it any more once this has been answered."""
    await wired(request).images.delete(image_id, viewer=_viewer(request))
    return Response(status_code=204)


async def _admit_and_receive(application: Application, request: Request) -> Uploaded:
    """Everything that can refuse the upload comes before its body is read, the cheapest first."""
    _viewer(request)
    address = limit_subject(request.scope[CLIENT])
    verdict = await application.admission.count(address=address)
    _require_allowed(application, request, verdict)
    await application.admission.require_room()
    async with application.admission.slot(address=address):
        return await _receive(application, request)


async def _count(application: Application, request: Request, *, budget: str) -> None:
    verdict = await application.limiter.hit(application.rates[budget], subject=limit_subject(request.scope[CLIENT]))
    _require_allowed(application, request, verdict)


def _require_allowed(application: Application, request: Request, verdict: Verdict) -> None:
    if application.settings.limits.enabled:
        request.scope[REPLY_HEADERS] = rate_limit_fields(verdict)
    if not verdict.allowed:
        raise RateLimitExceeded(retry_after=verdict.retry_after)


async def _receive(application: Application, request: Request) -> Uploaded:
    uploads = application.settings.uploads
    pace = Pace(min_rate=uploads.min_rate, deadline=uploads.deadline)
    body = RequestBody(request.receive, pace=pace)
    form = UploadForm(body, headers=header_map(request.scope), max_file_size=uploads.max_file_size)
    await form.open_file()
    async with application.uploads.stage() as staged:
        async for chunk in form.file_chunks():
            await staged.write(chunk)
        details = UploadDetails(
            filename=form.filename,
            declared_type=form.declared_type,
            declared_sha256=form.declared_sha256,
            visibility=_visibility(form.fields.get("visibility")),
        )
        return await application.uploads.keep(staged, details=details)


def _visibility(text: str | None) -> Visibility | None:
    if not text:
        return None
    if text not in (Visibility.PUBLIC, Visibility.UNLISTED):
        message = "must be public or unlisted; a private image needs an owner"
        raise ValidationFailed(details={"errors": [{"field": "visibility", "message": message}]})
    return Visibility(text)


def _viewer(request: Request) -> Viewer:
    return viewer_from(header_map(request.scope), parse_query(request.scope["query_string"]))


def _base(application: Application, request: Request) -> str:
    return base_url(request.scope, public_url=application.settings.app.public_url)


def _json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # Answers here hold a secret or change with every request, unless the route says otherwise.
    fields = {"Cache-Control": "no-store"} | (headers or {})
    return PlainResponse(render(value), status_code=status, headers=fields, media_type="application/json")
