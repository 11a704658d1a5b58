"""The list of one's own images: for whom, in which order, and by name."""

from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import Forbidden, Unauthorized
from chitram.domain.uploads import UploadDetails
from chitram.ports.repositories.images import Position
from tests.factories import pictures
from tests.unit.services.people import BOB, member, with_api_token

PHOTO = pictures.jpeg(48, 32)


async def fill(home, viewer, *names):
    """Images of these names, one a second; their ids by name."""
    made = {}
    for name in names:
        home.clock.advance(timedelta(seconds=1))
        kept = await home.upload(PHOTO, details=UploadDetails(filename=name, owner=viewer.credential))
        made[name] = kept.record.image.id
    return made


def names_of(page):
    return [record.image.filename for record in page.records]


async def test_in_either_order_page_by_page(home):
    ada, bob = await member(home), await member(home, BOB)
    made = await fill(home, ada, "a.jpg", "b.jpg", "c.jpg")
    await fill(home, bob, "d.jpg")
    images = home.application.images
    for oldest_first, expected in ((True, [*made]), (False, [*made][::-1])):
        first = await images.list_owned(viewer=ada, after=None, limit=2, oldest_first=oldest_first)
        assert isinstance(first.next, Position)
        rest = await images.list_owned(viewer=ada, after=first.next, limit=2, oldest_first=oldest_first)
        assert names_of(first) + names_of(rest) == expected
        assert rest.next is None


async def test_by_name(home):
    ada = await member(home)
    await fill(home, ada, "sea.jpg", "hill.jpg", "Sea 2.jpg")
    images = home.application.images
    first = await images.list_owned(viewer=ada, after=None, limit=1, name="SEA", oldest_first=True)
    rest = await images.list_owned(viewer=ada, after=first.next, limit=1, name="SEA", oldest_first=True)
    assert (names_of(first), names_of(rest), rest.next) == (["sea.jpg"], ["Sea 2.jpg"], None)


async def test_is_for_those_who_may_read(home):
    ada = await member(home)
    images = home.application.images
    with pytest.raises(Unauthorized):
        await images.list_owned(viewer=ANONYMOUS, after=None, limit=1)
    with pytest.raises(Forbidden):
        await images.list_owned(viewer=await with_api_token(home, ada, Scope.UPLOAD), after=None, limit=1, name="x")
