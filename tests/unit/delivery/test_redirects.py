"""Who is sent to the store itself, and who is not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chitram.adapters.memory.audit import MemoryAudit
from chitram.domain.images import Visibility
from chitram.entrypoints.delivery.door import Door
from chitram.entrypoints.delivery.redirects import LINK_LIFE
from chitram.entrypoints.support.auth import Gate
from tests.unit.delivery.test_door import DATA, Found, Opened
from tests.unit.support.asgi_client import call, make_scope
from tests.unit.support.doorkeepers import Doorkeeper
from tests.unit.support.records import IMAGE_ID, make_record

FILE = f"/api/v1/images/{IMAGE_ID}/file"


class Links:
    """Makes links that show what was asked for. `silent`: makes none."""

    origin = "https://s3.example.org"

    def __init__(self, *, silent=False):
        self.silent, self.asked = silent, []

    async def signed_url(self, key, *, expires, content_type, disposition, cache_control):
        self.asked.append((key, expires, content_type, disposition, cache_control))
        return None if self.silent else f"{self.origin}/b/{key}?X-Amz-Signature=f00d"


class Shelf:
    """One image and its original, in memory; `opened` says whether it was looked at."""

    def __init__(self, record):
        self.record, self.opened = record, 0

    async def find(self, image_id, *, viewer):
        return Found(self.record, "MISS")

    async def open_original(self, record):
        self.opened += 1
        return Opened(DATA)


async def ask(record, *, links=None, path=FILE, method="GET", **headers):
    links, shelf = links or Links(), Shelf(record)
    gate = Gate(Doorkeeper().authentication, public_url=None)
    door = Door(images=shelf, thumbnails=shelf, gate=gate, audit=MemoryAudit(), links=links)
    path, _, query = path.partition("?")
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    scope = make_scope(path, method=method, headers=named, query=query)
    assert door.matches(scope)
    return await call(door, scope), links, shelf


@pytest.mark.parametrize(
    ("visibility", "kept", "given"),
    [
        (Visibility.PUBLIC, "public, max-age=60", "public, max-age=300"),
        (Visibility.UNLISTED, "private, no-store", "public, max-age=300"),
        (Visibility.PRIVATE, "private, no-store", "private, no-store"),
    ],
)
async def test_a_viewer_is_sent_to_the_store(visibility, kept, given):
    record = make_record(DATA, visibility=visibility)
    answer, links, shelf = await ask(record)
    assert (answer.status, answer.body, shelf.opened) == (307, b"", 0)
    assert answer.header("location") == f"https://s3.example.org/b/{record.blob.key}?X-Amz-Signature=f00d"
    assert answer.header("cache-control") == kept
    assert answer.header("etag") is None
    [(key, expires, content_type, disposition, cache_control)] = links.asked
    assert (key, expires, content_type, cache_control) == (record.blob.key, LINK_LIFE, record.blob.content_type, given)
    assert disposition.startswith("inline")


async def test_a_kept_redirect_leads_to_a_link_that_is_good_yet():
    answer, _, _ = await ask(make_record(DATA, visibility=Visibility.PUBLIC))
    assert int(answer.header("cache-control").rpartition("=")[2]) <= LINK_LIFE.total_seconds() / 2


async def test_a_download_is_one_there_too():
    _, links, _ = await ask(make_record(DATA, visibility=Visibility.PUBLIC), path=f"{FILE}?download=1")
    assert links.asked[0][3].startswith("attachment")


async def test_a_range_is_the_stores_matter_unless_there_is_none():
    record = make_record(DATA, visibility=Visibility.PUBLIC)
    assert (await ask(record, range="bytes=1-2"))[0].status == 307
    assert (await ask(record, range=f"bytes={len(DATA) + 5}-"))[0].status == 416


async def test_what_needs_no_bytes_is_answered_here():
    record = make_record(DATA, visibility=Visibility.PUBLIC)
    head, links, shelf = await ask(record, method="HEAD")
    assert (head.status, head.header("content-length"), links.asked, shelf.opened) == (200, str(len(DATA)), [], 1)
    unchanged, links, _ = await ask(record, if_none_match=f'"{record.blob.sha256}"')
    assert (unchanged.status, links.asked) == (304, [])


async def test_damaged_bytes_are_not_handed_out():
    record = make_record(DATA, visibility=Visibility.PUBLIC)
    record = replace(record, blob=replace(record.blob, corrupt_at=datetime(2026, 1, 1, tzinfo=UTC)))
    answer, links, _ = await ask(record)
    assert (answer.status, links.asked) == (503, [])


async def test_without_a_link_the_bytes_come_from_here():
    answer, links, _ = await ask(make_record(DATA, visibility=Visibility.PUBLIC), links=Links(silent=True))
    assert (answer.status, answer.body, len(links.asked)) == (200, DATA, 1)
