"""The first page: what people made public, newest first."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chitram.entrypoints.support.pagination import decode_cursor, encode_cursor
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.pictures import tile
from chitram.entrypoints.web.rendering import Notice
from chitram.entrypoints.web.visitors import is_partial, pages, visitor_of

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 24
#: Pictures that are on the screen at once, as a rule: these are not put off.
EAGER = 4


@router.get("/")
async def gallery(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    deleted: str = "",
    left: str = "",
) -> Response:
    """A page of public pictures; for htmx its tiles alone."""
    application, viewer = wired(request), await visitor_of(request)
    after = None if cursor is None else decode_cursor(cursor, secrets=application.secrets)
    page = await application.images.list_public(after=after, limit=PAGE_SIZE)
    query = urlencode({"cursor": encode_cursor(page.next, secret=application.secrets[0])}) if page.next else ""
    shown = pages(request)
    values: dict[str, Any] = {
        "images": [tile(record, texts=shown.texts) for record in page.records],
        "next_page": f"/?{query}" if query else None,
        "eager": EAGER if cursor is None else 0,
    }
    if is_partial(request):
        return shown.partial("more_tiles", **values)
    keys = [key for said, key in ((deleted, "image.deleted"), (left, "account.left")) if said]
    notices = tuple(Notice("good", shown.texts(key)) for key in keys)
    return shown.page(request, "gallery", viewer=viewer, current="home", notices=notices, **values)
