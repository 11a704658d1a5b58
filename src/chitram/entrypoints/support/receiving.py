"""Taking an upload in, whichever form it comes from."""

import re

from fastapi import Request

from chitram.domain.access import Viewer
from chitram.domain.addresses import limit_subject
from chitram.domain.errors import ValidationFailed
from chitram.domain.idempotency import MAX_KEY, MIN_KEY, IdempotencyKey
from chitram.domain.images import Visibility
from chitram.domain.limits import UPLOAD
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.entrypoints.support.asgi import header_map
from chitram.entrypoints.support.body import Pace, RequestBody
from chitram.entrypoints.support.csrf import FIELD
from chitram.entrypoints.support.limits import count
from chitram.entrypoints.support.multipart import UploadForm
from chitram.entrypoints.support.viewers import require_own_form
from chitram.entrypoints.support.wiring import wired

#: A form that no script sends has the key in this field instead of in the header.
KEY_FIELD = "idempotency_key"
KEY_PATTERN = rf"[!-~]{{{MIN_KEY},{MAX_KEY}}}"
_KEY = re.compile(KEY_PATTERN, re.ASCII)


async def receive_upload(request: Request, viewer: Viewer, *, key: str | None) -> Uploaded:
    """Take in and keep what the form brings. `key`: the client's `Idempotency-Key`.

    Everything that can refuse the upload comes before its body is read, the cheapest first.
    """
    application = wired(request)
    held = None if key is None else _idempotency_key(key, viewer, field="Idempotency-Key")
    await count(request, UPLOAD, viewer=viewer)
    if held is None:
        # What was uploaded with this key before may be what filled the account; the charge is exact in any case.
        application.admission.require_quota(viewer)
    await application.admission.require_room()
    async with application.admission.slot(address=limit_subject(viewer.address)):
        return await _receive(request, viewer, key=held)


async def _receive(request: Request, viewer: Viewer, *, key: IdempotencyKey | None) -> Uploaded:
    uploads = wired(request).uploads
    limits = wired(request).settings.uploads
    pace = Pace(min_rate=limits.min_rate, deadline=limits.deadline)
    body = RequestBody(request.receive, pace=pace)
    form = UploadForm(body, headers=header_map(request.scope), max_file_size=limits.max_file_size)
    await form.open_file()
    if key is None and form.fields.get(KEY_FIELD):
        key = _idempotency_key(form.fields[KEY_FIELD], viewer, field=KEY_FIELD)
    async with uploads.hold(key) as hold, uploads.stage() as staged:
        async for chunk in form.file_chunks():
            await staged.write(chunk)
        require_own_form(request, viewer, token=form.fields.get(FIELD))
        details = UploadDetails(
            filename=form.filename,
            declared_type=form.declared_type,
            declared_digest=form.declared_digest,
            visibility=_visibility(form.fields.get("visibility"), viewer),
            owner=viewer.credential,
        )
        return await uploads.keep(staged, details=details, hold=hold)


def _idempotency_key(text: str, viewer: Viewer, *, field: str) -> IdempotencyKey:
    if not _KEY.fullmatch(text):
        message = f"must have {MIN_KEY} to {MAX_KEY} visible ASCII characters"
        raise ValidationFailed.of(field, message)
    scope = f"user:{viewer.user_id}" if viewer.user is not None else f"address:{limit_subject(viewer.address)}"
    return IdempotencyKey(scope, text)


def _visibility(text: str | None, viewer: Viewer) -> Visibility | None:
    if not text:
        return None
    allowed = [choice for choice in Visibility if choice is not Visibility.PRIVATE or viewer.user is not None]
    if text not in allowed:
        message = f"must be {' or '.join(allowed)}; a private image needs an owner"
        is_private = text == Visibility.PRIVATE
        problem = "private_without_account" if is_private else "unknown_choice"
        raise ValidationFailed.of("visibility", message, problem=problem)
    return Visibility(text)
