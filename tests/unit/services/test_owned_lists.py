"""The list of one's own images: for whom, in which order, and by name."""

from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.api_tokens import Scope
from chitram.domain.errors import Forbidden, Unauthorized
from chitram.domain.images import Order
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
    for order, expected in ((Order.OLDEST, [*made]), (Order.NEWEST, [*made][::-1])):
        first = await images.list_owned(viewer=ada, after=None, limit=2, order=order)
        assert isinstance(first.next, Position)
        rest = await images.list_owned(viewer=ada, after=first.next, limit=2, order=order)
        assert names_of(first) + names_of(rest) == expected
        assert rest.next is None


@pytest.mark.parametrize(("order", "expected"), [(Order.NAME, "a.jpg B.jpg c.jpg"), (Order.SIZE, "c.jpg a.jpg B.jpg")])
async def test_by_what_they_are_called_and_by_size_page_by_page(home, order, expected):
    ada = await member(home)
    for name, side in (("c.jpg", 900), ("a.jpg", 300), ("B.jpg", 40)):
        details = UploadDetails(filename=name, owner=ada.credential)
        await home.upload(pictures.jpeg(side, 40), details=details)
    images, found, after = home.application.images, [], None
    for number in range(3):
        page = await images.list_owned(viewer=ada, after=after, limit=1, order=order)
        found += names_of(page)
        after = page.next
        assert (after is None) == (number == 2)
    assert found == expected.split()


async def test_by_name(home):
    ada = await member(home)
    await fill(home, ada, "sea.jpg", "hill.jpg", "Sea 2.jpg")
    images = home.application.images
    first = await images.list_owned(viewer=ada, after=None, limit=1, name="SEA", order=Order.OLDEST)
    rest = await images.list_owned(viewer=ada, after=first.next, limit=1, name="SEA", order=Order.OLDEST)
    assert (names_of(first), names_of(rest), rest.next) == (["sea.jpg"], ["Sea 2.jpg"], None)


async def test_is_for_those_who_may_read(home):
    ada = await member(home)
    images = home.application.images
    with pytest.raises(Unauthorized):
        await images.list_owned(viewer=ANONYMOUS, after=None, limit=1)
    with pytest.raises(Forbidden):
        await images.list_owned(viewer=await with_api_token(home, ada, Scope.UPLOAD), after=None, limit=1, name="x")
