"""Pages of lists of images."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from chitram.entrypoints.api.replies import base_of, json_reply
from chitram.entrypoints.support.pagination import decode_cursor, encode_cursor
from chitram.entrypoints.support.queries import integer_parameter, parse_query
from chitram.entrypoints.support.representations import metadata
from chitram.entrypoints.support.schemas import ImageMetadata
from chitram.entrypoints.support.wiring import wired
from chitram.ports.repositories.images import Position
from chitram.services.images import Page

MAX_PAGE = 100
DEFAULT_PAGE = 24

#: Read once it is known who asks, so that the framework does not know of them.
PAGE_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "cursor",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "`next_cursor` of the page before.",
        },
        {
            "name": "limit",
            "in": "query",
            "required": False,
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE},
            "description": "Most images of the page.",
        },
    ]
}


class ImagePage(BaseModel):
    """A page of a list. Ask for the next one with `cursor`; there is none when `next_cursor` is null."""

    items: list[ImageMetadata]
    next_cursor: str | None


def asked_page(request: Request) -> tuple[Position | None, int]:
    """Where the asked-for page begins, None for the first one, and the most images that it holds.

    ValidationFailed for a cursor that we did not make and a limit that cannot be.
    """
    query: Mapping[str, str] = parse_query(request.scope["query_string"])
    limit = integer_parameter(query, "limit", default=DEFAULT_PAGE, lowest=1, highest=MAX_PAGE)
    cursor = query.get("cursor")
    return None if cursor is None else decode_cursor(cursor, secrets=wired(request).secrets), limit


def page_reply(request: Request, page: Page, *, path: str, limit: int, cache_control: str) -> Response:
    """`page` of the list at `path`."""
    base = base_of(request)
    next_cursor = encode_cursor(page.next, secret=wired(request).secrets[0]) if page.next else None
    headers = {"Cache-Control": cache_control}
    if next_cursor:
        query = urlencode({"cursor": next_cursor, "limit": limit})
        headers["Link"] = f'<{base}{path}?{query}>; rel="next"'
    items = [metadata(record, base=base) for record in page.records]
    return json_reply({"items": items, "next_cursor": next_cursor}, headers=headers)
