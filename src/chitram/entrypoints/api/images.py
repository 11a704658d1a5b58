"""JSON routes of images. What is read most (metadata, originals, thumbnails) has a door of its own: `delivery`."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import MAX_DESCRIPTION, MAX_TITLE, Edit, ImageRecord, Visibility
from chitram.domain.limits import SIMILAR, VERIFY
from chitram.entrypoints.api.openapi import errors, request_body
from chitram.entrypoints.api.pages import PAGE_PARAMETERS, ImagePage, asked_page, page_reply
from chitram.entrypoints.api.replies import base_of, empty_reply, json_reply
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.conditions import is_conditional, require_match
from chitram.entrypoints.support.json_bodies import read_json
from chitram.entrypoints.support.limits import count, guessing
from chitram.entrypoints.support.queries import integer_parameter, parse_query
from chitram.entrypoints.support.representations import document, metadata, timestamp
from chitram.entrypoints.support.schemas import ImageMetadata
from chitram.entrypoints.support.security_schemes import ACCOUNT, ANYBODY
from chitram.entrypoints.support.texts import lines, one_line
from chitram.entrypoints.support.viewers import viewer_of
from chitram.entrypoints.support.wiring import wired

router = APIRouter(prefix="/api/v1/images", tags=["images"])


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


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class ImageChanges(BaseModel):
    """What is to be changed; what is not there stays as it is, and other fields are ignored."""

    # No defaults in the description: what is not sent is not changed.
    model_config = ConfigDict(hide_input_in_errors=True, json_schema_extra=_without_defaults)

    visibility: Visibility = Visibility.UNLISTED
    title: Annotated[str | None, Field(max_length=MAX_TITLE), AfterValidator(one_line)] = None
    description: Annotated[str | None, Field(max_length=MAX_DESCRIPTION), AfterValidator(lines)] = None


REQUESTS = (ImageChanges,)

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

#: In differing bits of two perceptual hashes.
DEFAULT_DISTANCE = 8
MAX_DISTANCE = 16
DISTANCE_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "distance",
            "in": "query",
            "required": False,
            "schema": {"type": "integer", "minimum": 0, "maximum": MAX_DISTANCE, "default": DEFAULT_DISTANCE},
            "description": "Most differing bits.",
        }
    ]
}


@router.get(
    "",
    summary="Public images, newest first",
    response_model=ImagePage,
    responses=errors(401, 422, 503),
    openapi_extra=PAGE_PARAMETERS | ANYBODY,
)
async def list_public(request: Request) -> Response:
    """Public images, newest first."""
    await viewer_of(request)
    after, limit = asked_page(request)
    page = await wired(request).images.list_public(after=after, limit=limit)
    return page_reply(request, page, path=router.prefix, limit=limit, cache_control="no-cache")


@router.get(
    "/{image_id}/checksum",
    summary="Digest and length of the stored bytes",
    response_model=Checksum,
    responses=errors(401, 404, 422, 503),
    openapi_extra=ANYBODY,
)
async def checksum(request: Request, image_id: str) -> Response:
    """The digest and the length of the stored bytes."""
    found = await wired(request).images.find(image_id, viewer=await viewer_of(request))
    blob = found.record.blob
    return json_reply({"algorithm": "sha256", "sha256": blob.sha256, "file_size": blob.size})


@router.post(
    "/{image_id}/verify",
    summary="Compare the stored bytes with their digest",
    response_model=VerificationResponse,
    responses=errors(401, 403, 404, 422, 429, 503),
    openapi_extra=TOKEN_PARAMETERS | ANYBODY,
)
async def verify(request: Request, image_id: str) -> Response:
    """Read the stored bytes again and compare them with their digest."""
    viewer = await viewer_of(request)
    await count(request, VERIFY, viewer=viewer)
    async with guessing(request, viewer):
        result = await wired(request).integrity.verify(image_id, viewer=viewer)
    return json_reply(
        {
            "match": result.match,
            "sha256": result.sha256,
            "stored_sha256": result.stored_sha256,
            "verified_at": timestamp(result.verified_at),
        }
    )


@router.get(
    "/{image_id}/similar",
    summary="Images that look like this one",
    response_model=SimilarImages,
    responses=errors(401, 404, 422, 429, 503),
    openapi_extra=DISTANCE_PARAMETER | ANYBODY,
)
async def similar(request: Request, image_id: str) -> Response:
    """Images that look like this one: public ones, and those of the account that asks."""
    viewer = await viewer_of(request)
    query = parse_query(request.scope["query_string"])
    try:
        distance = integer_parameter(query, "distance", default=DEFAULT_DISTANCE, lowest=0, highest=MAX_DISTANCE)
    except ValidationFailed:
        # What somebody may not see is not there for them, whatever else is wrong.
        await wired(request).images.find(image_id, viewer=viewer)
        raise
    await count(request, SIMILAR, viewer=viewer)
    matches = await wired(request).images.similar(image_id, distance=distance, viewer=viewer)
    base = base_of(request)
    return json_reply({"items": [metadata(m.record, base=base) | {"distance": m.distance} for m in matches]})


@router.patch(
    "/{image_id}",
    summary="Change who sees an image, and what it is called",
    response_model=ImageMetadata,
    responses=errors(400, 401, 403, 404, 408, 412, 413, 422, 503),
    openapi_extra=request_body(ImageChanges) | ACCOUNT,
)
async def change(request: Request, image_id: str) -> Response:
    """Change an image of one's own. Nobody is shown it as it was once this has been answered."""
    application = wired(request)
    viewer = await viewer_of(request)
    record = await application.ownership.require_editor(image_id, viewer=viewer)
    changes = await read_json(request, ImageChanges)
    expect = _expectation(request)
    if changes.model_fields_set:
        edit = Edit(
            changed=frozenset(changes.model_fields_set),
            visibility=changes.visibility,
            title=changes.title,
            description=changes.description,
        )
        record = await application.ownership.edit(image_id, edit=edit, viewer=viewer, expect=expect)
    elif expect is not None:
        expect(record)
    return json_reply(metadata(record, base=base_of(request)))


@router.post(
    "/{image_id}/claim",
    summary="Take an anonymous image into one's account",
    response_model=ImageMetadata,
    responses=errors(401, 403, 404, 422, 429, 503, 507),
    openapi_extra=TOKEN_PARAMETERS | ACCOUNT,
)
async def claim(request: Request, image_id: str) -> Response:
    """Take an anonymous image into the account with its delete token, which is worth nothing from then on."""
    viewer = await viewer_of(request)
    async with guessing(request, viewer):
        record = await wired(request).ownership.claim(image_id, viewer=viewer)
    return json_reply(metadata(record, base=base_of(request)))


@router.delete(
    "/{image_id}",
    summary="Delete an image",
    status_code=204,
    responses=errors(401, 403, 404, 412, 422, 429, 503),
    openapi_extra=TOKEN_PARAMETERS | ANYBODY,
)
async def delete(request: Request, image_id: str) -> Response:
    """Delete an image. Nobody is shown it any more once this has been answered."""
    viewer = await viewer_of(request)
    async with guessing(request, viewer):
        await wired(request).images.delete(image_id, viewer=viewer, expect=_expectation(request))
    return empty_reply()


def _expectation(request: Request) -> Callable[[ImageRecord], None] | None:
    """What If-Match and If-None-Match of a request that changes an image want it to be; None without them."""
    headers = header_map(request.scope)
    if not is_conditional(headers):
        return None
    base = base_of(request)

    def expect(record: ImageRecord) -> None:
        etag, _ = document(record, base=base)
        require_match(headers, etag=etag)

    return expect
