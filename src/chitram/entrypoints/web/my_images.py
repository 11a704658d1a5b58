"""One's own pictures: finding, choosing, changing and deleting several."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from chitram.domain.access import Viewer, owns
from chitram.domain.errors import Forbidden, ImageNotFound
from chitram.domain.images import Edit, ImageRecord, Order, Visibility
from chitram.entrypoints.support.pagination import MAX_CURSOR, decode_cursor, encode_cursor
from chitram.entrypoints.support.texts import one_line
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.forms import member_choices
from chitram.entrypoints.web.pictures import tile
from chitram.entrypoints.web.rendering import Notice
from chitram.entrypoints.web.usage import usage_of
from chitram.entrypoints.web.visitors import is_partial, member_of, pages, see_other

router = APIRouter(include_in_schema=False)

PAGE_SIZE = 40
#: Chosen pictures that are changed at a time. Each change waits for caches in front of us, and these waits are to
#: coincide; but the changes queue up for the one writer of SQLite, or the account's lock, where nobody waits long.
AT_A_TIME = 8


@router.get("/my-images")
async def my_images(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
    name: Annotated[str, Query(max_length=100)] = "",
    sort: Order = Order.NEWEST,
    deleted: Annotated[int, Query(ge=0, le=1000)] = 0,
    changed: Annotated[int, Query(ge=0, le=1000)] = 0,
    chosen: str = "",
) -> Response:
    """A page of the viewer's own pictures; for htmx its tiles alone."""
    viewer = await member_of(request)
    application, shown = wired(request), pages(request)
    wanted = one_line(name)
    after = None if cursor is None else decode_cursor(cursor, secrets=application.secrets, order=sort)
    page = await application.images.list_owned(viewer=viewer, after=after, limit=PAGE_SIZE, order=sort, name=wanted)
    query = {"name": name, "sort": sort.value}
    following = {"cursor": encode_cursor(page.next, secret=application.secrets[0])} if page.next else {}
    values: dict[str, Any] = {
        "images": [tile(record, texts=shown.texts) for record in page.records],
        "next_page": f"/my-images?{urlencode(query | following)}" if following else None,
    }
    if is_partial(request):
        return shown.partial("more_my_tiles", **values)
    said = ((deleted, "deleted"), (changed, "changed"))
    notices = [Notice("good", shown.texts(f"mine.{key}", count=count)) for count, key in said if count]
    if chosen == "none":
        notices.append(Notice("warning", shown.texts("mine.none_chosen")))
    return shown.page(
        request,
        "my_images",
        viewer=viewer,
        current="my-images",
        notices=tuple(notices),
        usage=usage_of(await application.accounts.usage(viewer), texts=shown.texts),
        filtered=wanted is not None or cursor is not None,
        wanted=name,
        sort=sort.value,
        orders=[each.value for each in Order],
        **values,
    )


@router.post("/my-images")
async def change_chosen(request: Request) -> Response:
    """Change or delete the chosen pictures; a deletion is asked for once more."""
    viewer, fields, chosen = await member_choices(request, "image")
    records = await _own(request, chosen, viewer)
    if not records:
        return see_other("/my-images?chosen=none")
    if fields.get("action") == "delete":
        if fields.get("confirmed") != "yes":
            return _ask(request, viewer, records)
        return see_other(f"/my-images?deleted={await _delete(request, viewer, records)}")
    visibility = fields.get("visibility", "")
    if visibility not in list(Visibility):
        return see_other("/my-images")
    edit = Edit(changed=frozenset({"visibility"}), visibility=Visibility(visibility))
    return see_other(f"/my-images?changed={await _edit(request, viewer, records, edit)}")


def _ask(request: Request, viewer: Viewer, records: list[ImageRecord]) -> Response:
    shown = pages(request)
    images = [tile(record, texts=shown.texts) for record in records]
    return shown.page(request, "delete_chosen", viewer=viewer, current="my-images", images=images)


async def _own(request: Request, chosen: list[str], viewer: Viewer) -> list[ImageRecord]:
    """Those of the chosen images that are the viewer's, and still there."""
    found = []
    for image_id in chosen:
        try:
            record = (await wired(request).images.find(image_id, viewer=viewer)).record
        except ImageNotFound:
            continue
        if owns(record.image, viewer):
            found.append(record)
    return found


async def _delete(request: Request, viewer: Viewer, records: list[ImageRecord]) -> int:
    images = wired(request).images
    return await _each(records, lambda image_id: images.delete(image_id, viewer=viewer))


async def _edit(request: Request, viewer: Viewer, records: list[ImageRecord], edit: Edit) -> int:
    ownership = wired(request).ownership
    return await _each(records, lambda image_id: ownership.edit(image_id, edit=edit, viewer=viewer))


async def _each(records: list[ImageRecord], change: Callable[[str], Awaitable[object]]) -> int:
    """How many of the pictures `change` was made to; somebody was faster with the others.

    Any other failure is raised when what is under way has ended; nothing is begun after it.
    """
    waiting = deque(records)

    async def work() -> int:
        done = 0
        while waiting:
            try:
                await change(waiting.popleft().image.id)
            except (ImageNotFound, Forbidden):
                continue
            except BaseException:
                waiting.clear()
                raise
            done += 1
        return done

    workers = (work() for _ in range(min(AT_A_TIME, len(records))))
    total = 0
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        total += outcome
    return total
