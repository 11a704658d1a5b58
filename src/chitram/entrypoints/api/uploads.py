"""The route that takes uploads."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chitram.domain.errors import ChitramError, MethodNotAllowed, ValidationFailed
from chitram.domain.images import Visibility
from chitram.domain.uploads import Uploaded
from chitram.entrypoints.api.openapi import errors, upload_links
from chitram.entrypoints.api.replies import base_of, json_reply
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.links import IMAGES_PATH
from chitram.entrypoints.support.queries import parse_query
from chitram.entrypoints.support.receiving import KEY_PATTERN, receive_upload
from chitram.entrypoints.support.representations import upload_response
from chitram.entrypoints.support.schemas import UploadResponse
from chitram.entrypoints.support.security_schemes import ANYBODY
from chitram.entrypoints.support.viewers import uploader_of
from chitram.entrypoints.support.wiring import wired

router = APIRouter(prefix="/api/v1/images", tags=["images"])


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
                            "enum": [*Visibility, ""],
                            "description": "Who sees it; empty or absent: as the server is set. "
                            "private needs an account.",
                        },
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
            "description": "A random text of the client's. An upload that is sent again with it within 24 hours is "
            "answered as the first time.",
        }
    ],
}


@router.post(
    "/upload",
    summary="Upload a picture",
    status_code=201,
    response_model=UploadResponse,
    responses={201: {"links": upload_links()}, **errors(400, 401, 403, 404, 408, 409, 413, 422, 429, 503, 507)},
    openapi_extra=UPLOAD_BODY | ANYBODY,
)
async def upload(request: Request) -> Response:
    """Upload a picture as the field `file` of a form."""
    metrics = wired(request).metrics
    try:
        uploaded = await _receive(request)
    except ChitramError as error:
        metrics.upload_refused(error.code)
        raise
    metrics.upload_finished(uploaded.record.blob.size)
    base = base_of(request)
    body = upload_response(
        uploaded.record, base=base, delete_token=uploaded.delete_token, duplicate_of=uploaded.duplicate_of
    )
    return json_reply(body, status=201, headers={"Location": f"{base}{IMAGES_PATH}{uploaded.record.image.id}"})


@router.delete("/upload", include_in_schema=False)
@router.patch("/upload", include_in_schema=False)
async def refuse_change() -> Response:
    """Keep this address from being taken for an image's."""
    raise MethodNotAllowed(details={"allow": ["POST"]})


async def _receive(request: Request) -> Uploaded:
    viewer = await uploader_of(request)
    wired(request).admission.require_uploader(viewer)
    if "visibility" in parse_query(request.scope["query_string"]):
        # Who wants a private image must not get another one for having asked in the wrong place.
        raise ValidationFailed.of("visibility", "is a field of the form")
    key = header_map(request.scope).get(b"idempotency-key")
    return await receive_upload(request, viewer, key=None if key is None else key.decode("latin-1"))
