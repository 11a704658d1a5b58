"""Two processes on one database: what one of them caches, the other may change."""

import pytest

from chitram.adapters.memory.cache import MemoryRecordCache
from chitram.domain.access import Viewer
from tests.factories.applications import house
from tests.integration.requests import IMAGES, code, uploaded


def with_neighbours(foundation):
    """As a server has it that knows of others: what it keeps is of one state of the database."""
    foundation.cache = MemoryRecordCache(
        max_entries=1000, ttl=3600, clock=foundation.clock, version=foundation.lookup.version
    )


@pytest.fixture
async def home(settings, tmp_path):
    async with house(tmp_path, settings=settings, arrange=with_neighbours) as opened:
        yield opened


@pytest.fixture
async def neighbour(home, tmp_path):
    """A second application over the same data, as a command beside the server is."""
    async with house(tmp_path) as other:
        yield other


async def test_what_one_deletes_the_other_shows_no_more(client, neighbour):
    image = await uploaded(client)
    path = f"{IMAGES}/{image['id']}"
    await client.get(path)
    assert (await client.get(path)).headers["x-cache"] == "HIT"
    viewer = Viewer(delete_token=image["delete_token"])
    await neighbour.application.images.delete(image["id"], viewer=viewer)
    for address in (path, image["url"], image["thumbnail_url"]):
        assert code(await client.get(address)) == "IMAGE_NOT_FOUND"


async def test_what_is_cached_stays_so_while_nobody_writes(client, neighbour):
    image = await uploaded(client)
    path = f"{IMAGES}/{image['id']}"
    await client.get(path)
    await neighbour.application.images.find(image["id"], viewer=Viewer())
    assert (await client.get(path)).headers["x-cache"] == "HIT"
