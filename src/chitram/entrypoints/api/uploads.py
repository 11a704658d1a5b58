"""The route that takes uploads."""

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer
from chitram.domain.addresses import limit_subject
from chitram.domain.errors import ChitramError, MethodNotAllowed, ValidationFailed
from chitram.domain.idempotency import MAX_KEY, MIN_KEY, IdempotencyKey
from chitram.domain.images import Visibility
from chitram.domain.limits import UPLOAD
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.entrypoints.api.limits import count
from chitram.entrypoints.api.openapi import errors, upload_links
from chitram.entrypoints.api.replies import base_of, json_reply
from chitram.entrypoints.api.viewers import require_own_form, uploader_of
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.body import Pace, RequestBody
from chitram.entrypoints.support.csrf import FIELD
from chitram.entrypoints.support.links import IMAGES_PATH
from chitram.entrypoints.support.multipart import UploadForm
from chitram.entrypoints.support.queries import invalid_parameter, parse_query
from chitram.entrypoints.support.representations import upload_response
from chitram.entrypoints.support.schemas import UploadResponse
from chitram.entrypoints.support.security_schemes import ANYBODY
from chitram.entrypoints.support.wiring import wired

router = APIRouter(prefix="/api/v1/images", tags=["images"])

_KEY = re.compile(rf"[!-~]{{{MIN_KEY},{MAX_KEY}}}", re.ASCII)

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
                            "enum": list(Visibility),
                            "description": "Who sees it; otherwise as the server is set. private needs an account.",
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
            "schema": {"type": "string", "pattern": f"^[!-~]{{{MIN_KEY},{MAX_KEY}}}$"},
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
        uploaded = await _admit_and_receive(request)
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


async def _admit_and_receive(request: Request) -> Uploaded:
    """Everything that can refuse the upload comes before its body is read, the cheapest first."""
    application = wired(request)
    viewer = await uploader_of(request)
    application.admission.require_uploader(viewer)
    _require_no_choice_in_query(request)
    key = _idempotency_key(request, viewer)
    await count(request, UPLOAD, viewer=viewer)
    if key is None:
        # What was uploaded with this key before may be what filled the account; the charge is exact in any case.
        application.admission.require_quota(viewer)
    await application.admission.require_room()
    async with application.admission.slot(address=limit_subject(viewer.address)):
        return await _receive(request, viewer, key=key)


async def _receive(request: Request, viewer: Viewer, *, key: IdempotencyKey | None) -> Uploaded:
    uploads = wired(request).uploads
    limits = wired(request).settings.uploads
    pace = Pace(min_rate=limits.min_rate, deadline=limits.deadline)
    body = RequestBody(request.receive, pace=pace)
    form = UploadForm(body, headers=header_map(request.scope), max_file_size=limits.max_file_size)
    async with uploads.hold(key) as hold:
        await form.open_file()
        async with uploads.stage() as staged:
            async for chunk in form.file_chunks():
                await staged.write(chunk)
            require_own_form(request, viewer, token=form.fields.get(FIELD))
            details = UploadDetails(
                filename=form.filename,
                declared_type=form.declared_type,
                declared_sha256=form.declared_sha256,
                visibility=_visibility(form.fields.get("visibility"), viewer),
                owner=viewer.credential,
            )
            return await uploads.keep(staged, details=details, hold=hold)


def _idempotency_key(request: Request, viewer: Viewer) -> IdempotencyKey | None:
    sent = header_map(request.scope).get(b"idempotency-key")
    if sent is None:
        return None
    key = sent.decode("latin-1")
    if not _KEY.fullmatch(key):
        message = f"must have {MIN_KEY} to {MAX_KEY} visible ASCII characters"
        raise ValidationFailed(details={"errors": [{"field": "Idempotency-Key", "message": message}]})
    scope = f"user:{viewer.user_id}" if viewer.user is not None else f"address:{limit_subject(viewer.address)}"
    return IdempotencyKey(scope, key)


def _require_no_choice_in_query(request: Request) -> None:
    """Who wants a private image must not get another one for having asked in the wrong place."""
    if "visibility" in parse_query(request.scope["query_string"]):
        raise invalid_parameter("visibility", "is a field of the form")


def _visibility(text: str | None, viewer: Viewer) -> Visibility | None:
    if not text:
        return None
    allowed = [choice for choice in Visibility if choice is not Visibility.PRIVATE or viewer.user is not None]
    if text not in allowed:
        message = f"must be {' or '.join(allowed)}; a private image needs an owner"
        raise ValidationFailed(details={"errors": [{"field": "visibility", "message": message}]})
    return Visibility(text)
