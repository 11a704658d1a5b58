"""An image's page, changing and deleting it there, and what other sites ask for to embed it."""

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer, owns
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import (
    ChitramError,
    DeleteTokenRequired,
    ImageNotFound,
    InvalidDeleteToken,
    NotFound,
    ValidationFailed,
)
from chitram.domain.images import MAX_DESCRIPTION, MAX_TITLE, Edit, ImageRecord, Visibility, is_image_id
from chitram.entrypoints.support.limits import guessing
from chitram.entrypoints.support.links import base_url
from chitram.entrypoints.support.representations import render
from chitram.entrypoints.support.texts import lines, one_line
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.errors import put_on_record
from chitram.entrypoints.web.forms import errors_of, message_of, own_fields, sent_form
from chitram.entrypoints.web.pictures import detail, page_path, thumbnail_path, tile
from chitram.entrypoints.web.visitors import is_partial, pages, see_other, sender_of, visitor_of

router = APIRouter(include_in_schema=False)

#: oEmbed's `maxwidth` and `maxheight` are looked at up to here.
_LARGEST = 100_000


@router.get("/image/{image_id}")
async def image_page(request: Request, image_id: str) -> Response:
    """The page of an image."""
    viewer = await visitor_of(request)
    found = await wired(request).images.find(image_id, viewer=viewer)
    return _page(request, found.record, viewer)


@router.get("/i/{image_id}")
async def short_link(request: Request, image_id: str) -> Response:
    """The short address of the page. It is the page itself, so that nobody waits for a second round."""
    return await image_page(request, image_id)


@router.post("/image/{image_id}")
async def change_image(request: Request, image_id: str) -> Response:
    """Change title, description and visibility: whose it is comes first, what was sent second."""
    application, viewer = wired(request), await sender_of(request)
    record = await application.ownership.require_editor(image_id, viewer=viewer)
    fields = await own_fields(request, viewer)
    try:
        edit = _edit(fields)
        record = await application.ownership.edit(image_id, edit=edit, viewer=viewer)
    except ValidationFailed as error:
        errors = errors_of(error, texts=pages(request).texts)
        if is_partial(request):
            values = _form_values(request, record, viewer, form=fields, errors=errors)
            return pages(request).partial("image_form", status=422, saved=False, **values)
        return _page(request, record, viewer, form=fields, errors=errors, status=422)
    if is_partial(request):
        return pages(request).partial("image_form", **_form_values(request, record, viewer), saved=True)
    return see_other(page_path(record))


@router.get("/image/{image_id}/delete")
async def delete_page(request: Request, image_id: str) -> Response:
    """Ask whether the image is to be deleted. Looking at this page changes nothing."""
    viewer = await visitor_of(request)
    record = await _visible(request, image_id, viewer)
    return _delete_page(request, image_id, record, viewer)


@router.post("/image/{image_id}/delete")
async def delete_image(request: Request, image_id: str) -> Response:
    """Delete the image, for its owner or for whoever has its delete token."""
    application = wired(request)
    viewer, fields = await sent_form(request)
    token = fields.get("delete_token", "").strip() or None
    holder = replace(viewer, delete_token=token)
    try:
        async with guessing(request, holder):
            await application.images.delete(image_id, viewer=holder)
    except (DeleteTokenRequired, InvalidDeleteToken) as error:
        put_on_record(request, error)
        record = await _visible(request, image_id, viewer)
        return _delete_page(request, image_id, record, viewer, error=error)
    where = "/my-images?deleted=1" if viewer.user is not None else f"/?deleted={image_id}"
    return see_other(where)


@router.get("/oembed")
async def oembed(
    request: Request,
    url: Annotated[str, Query(max_length=2000)],
    maxwidth: Annotated[int, Query(ge=1, le=_LARGEST)] = _LARGEST,
    maxheight: Annotated[int, Query(ge=1, le=_LARGEST)] = _LARGEST,
    format: Annotated[str, Query(max_length=10)] = "json",  # noqa: A002 - oEmbed's name
) -> Response:
    """oEmbed 1.0 for the pages of images that are not private. Who asks does not matter."""
    if format != "json":
        raise NotFound("Only JSON is spoken here.")
    record = (await wired(request).images.find(_id_of_page(url), viewer=Viewer())).record
    base = base_url(request.scope, public_url=wired(request).settings.app.public_url)
    body = _oembed(record, base=base, request=request, most=(maxwidth, maxheight))
    return Response(
        render(body), media_type="application/json", headers={"Cache-Control": "no-cache", "X-Robots-Tag": "noindex"}
    )


def _page(
    request: Request,
    record: ImageRecord,
    viewer: Viewer,
    *,
    form: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    values = _form_values(request, record, viewer, form=form, errors=errors)
    headers = {} if values["image"]["indexed"] else {"X-Robots-Tag": "noindex"}
    may_edit = owns(record.image, viewer) and viewer.may(Scope.UPLOAD)
    return pages(request).page(
        request, "image", viewer=viewer, status=status, headers=headers, may_edit=may_edit, saved=False, **values
    )


def _form_values(
    request: Request,
    record: ImageRecord,
    viewer: Viewer,
    *,
    form: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
) -> dict[str, Any]:
    base = base_url(request.scope, public_url=wired(request).settings.app.public_url)
    image = record.image
    now = {
        "title": image.title or "",
        "description": image.description or "",
        "visibility": image.visibility.value,
    }
    session = viewer.session
    return {
        "image": detail(record, base=base, texts=pages(request).texts),
        "form": now | {name: text for name, text in (form or {}).items() if name in now},
        "errors": {name: (errors or {}).get(name) for name in now},
        "csrf_token": wired(request).authentication.csrf_token(session.id) if session else "",
    }


def _edit(fields: dict[str, str]) -> Edit:
    """What the form asks for. ValidationFailed."""
    visibility = fields.get("visibility", "")
    if visibility not in list(Visibility):
        raise ValidationFailed.of("visibility", "must be public, unlisted or private", problem="unknown_choice")
    return Edit(
        changed=frozenset({"title", "description", "visibility"}),
        visibility=Visibility(visibility),
        title=_checked("title", one_line(fields.get("title")), MAX_TITLE),
        description=_checked("description", lines(fields.get("description")), MAX_DESCRIPTION),
    )


def _checked(field: str, text: str | None, most: int) -> str | None:
    if text is not None and len(text) > most:
        raise ValidationFailed.of(field, f"must have at most {most} characters", problem="text_too_long", most=most)
    return text


def _delete_page(
    request: Request,
    image_id: str,
    record: ImageRecord | None,
    viewer: Viewer,
    *,
    error: ChitramError | None = None,
) -> Response:
    shown = pages(request)
    mine = record is not None and owns(record.image, viewer)
    is_admin = viewer.user is not None and viewer.user.is_admin
    return shown.page(
        request,
        "delete",
        viewer=viewer,
        status=403 if error else 200,
        image=tile(record, texts=shown.texts) if record is not None else None,
        image_id=image_id,
        needs_token=not (mine or is_admin),
        error=message_of(request, error) if error else None,
    )


async def _visible(request: Request, image_id: str, viewer: Viewer) -> ImageRecord | None:
    """The image as far as the viewer may see it. ImageNotFound; admins may delete what they do not see."""
    try:
        return (await wired(request).images.find(image_id, viewer=viewer)).record
    except ImageNotFound:
        if is_image_id(image_id) and viewer.user is not None and viewer.user.is_admin:
            return None
        raise


def _id_of_page(url: str) -> str:
    """The image's id in the address of its page. ImageNotFound."""
    try:
        parts = urlsplit(url).path.strip("/").split("/")
    except ValueError:
        raise ImageNotFound from None
    if len(parts) != 2 or parts[0] not in ("image", "i"):
        raise ImageNotFound
    return parts[1]


def _oembed(record: ImageRecord, *, base: str, request: Request, most: tuple[int, int]) -> dict[str, Any]:
    shown = detail(record, base=base, texts=pages(request).texts)
    scale = min(1.0, most[0] / record.blob.width, most[1] / record.blob.height)
    return {
        "version": "1.0",
        "type": "photo",
        "title": shown["name"],
        "provider_name": "Chitram",
        "provider_url": base,
        "url": shown["url"],
        "width": max(1, int(record.blob.width * scale)),
        "height": max(1, int(record.blob.height * scale)),
        "thumbnail_url": base + thumbnail_path(record, 300),
        "thumbnail_width": shown["widths"][300],
        "thumbnail_height": shown["heights"][300],
        "cache_age": 300,
    }
