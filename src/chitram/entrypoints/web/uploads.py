"""Uploading: the page that scripts make swift, and the form that works without."""

import secrets
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import ChitramError, InvalidReason, Unauthorized
from chitram.domain.images import Visibility
from chitram.domain.uploads import Uploaded
from chitram.entrypoints.support.errors import STATUS_BY_CODE, status_of
from chitram.entrypoints.support.links import base_url
from chitram.entrypoints.support.receiving import receive_upload
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.errors import put_on_record
from chitram.entrypoints.web.forms import message_of, retry_fields
from chitram.entrypoints.web.pictures import accepted, detail, page_path
from chitram.entrypoints.web.visitors import pages, see_other, sender_of, visitor_of
from chitram.settings import UploadSettings

router = APIRouter(include_in_schema=False)


@router.get("/upload")
async def upload_page(request: Request) -> Response:
    """Where pictures are uploaded."""
    return _page(request, await visitor_of(request))


@router.post("/upload")
async def upload(request: Request) -> Response:
    """One picture by a plain form. Its page follows; a stranger is shown the delete token first."""
    application, viewer = wired(request), await sender_of(request)
    try:
        application.admission.require_uploader(viewer)
        uploaded = await receive_upload(request, viewer, key=None)
    except ChitramError as error:
        application.metrics.upload_refused(error.code)
        put_on_record(request, error)
        return _page(request, viewer, error=error)
    application.metrics.upload_finished(uploaded.record.blob.size)
    if uploaded.delete_token is None:
        return see_other(page_path(uploaded.record))
    return _uploaded_page(request, viewer, uploaded)


def _page(request: Request, viewer: Viewer, *, error: ChitramError | None = None) -> Response:
    shown, settings = pages(request), wired(request).settings.uploads
    return shown.page(
        request,
        "upload",
        viewer=viewer,
        status=status_of(error) if error else 200,
        headers=retry_fields(error),
        current="upload",
        allowed=_may_upload(request, viewer),
        error=message_of(request, error) if error else None,
        visibility=settings.default_visibility.value,
        visibilities=[choice.value for choice in _visibilities(viewer)],
        idempotency_key=secrets.token_urlsafe(24),
        limits=_limits(settings),
        refusals=_refusals(settings, texts=shown.texts),
    )


def _uploaded_page(request: Request, viewer: Viewer, uploaded: Uploaded) -> Response:
    """The link and the delete token, which are told this once."""
    shown = pages(request)
    base = base_url(request.scope, public_url=wired(request).settings.app.public_url)
    return shown.page(
        request,
        "uploaded",
        viewer=viewer,
        status=201,
        current="upload",
        headers={"Cache-Control": "no-store"},
        image=detail(uploaded.record, base=base, texts=shown.texts),
        delete_token=uploaded.delete_token,
    )


def _may_upload(request: Request, viewer: Viewer) -> bool:
    try:
        wired(request).admission.require_uploader(viewer)
    except Unauthorized:
        return False
    return True


def _visibilities(viewer: Viewer) -> list[Visibility]:
    choices = [Visibility.UNLISTED, Visibility.PUBLIC]
    return [*choices, Visibility.PRIVATE] if viewer.may(Scope.UPLOAD) else choices


def _limits(uploads: UploadSettings) -> dict[str, Any]:
    return accepted(uploads) | {"max_bytes": uploads.max_file_size, "types": list(uploads.allowed_content_types)}


def _refusals(uploads: UploadSettings, *, texts: Catalogue) -> dict[str, str]:
    """What the script says of an upload that failed, by the code of the answer or by its `details.reason`."""
    bounds = accepted(uploads)
    reasons = {reason: texts(f"problems.{reason}", **bounds) for reason in (*InvalidReason, "empty_file")}
    return {code: texts(f"errors.{code}", **bounds) for code in STATUS_BY_CODE} | reasons
