"""Cursors of every order: they lead back to where they were made for, and nowhere else."""

from datetime import UTC, datetime

import pytest

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import MAX_TITLE, Order
from chitram.entrypoints.support.pagination import MAX_CURSOR, decode_cursor, encode_cursor
from chitram.ports.repositories.images import Position

ID = "0123456789a"
SECRET = b"s" * 32
PLACES = {
    Order.NEWEST: datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
    Order.OLDEST: datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    Order.NAME: "a.b 7.jpg",
    Order.SIZE: 5_000_000_000,
}


@pytest.mark.parametrize("order", Order)
def test_lead_back(order):
    place = Position(PLACES[order], ID)
    assert decode_cursor(encode_cursor(place, secret=SECRET), secrets=[b"other", SECRET], order=order) == place


@pytest.mark.parametrize("name", ["", "s7.0123456789a", "n", "चित्र\u200d.jpg", ".", "\U0001f600" * MAX_TITLE])
def test_any_name_and_the_longest_fit(name):
    cursor = encode_cursor(Position(name, ID), secret=SECRET)
    assert len(cursor) <= MAX_CURSOR
    assert decode_cursor(cursor, secrets=[SECRET], order=Order.NAME) == Position(name, ID)


@pytest.mark.parametrize("made_for", Order)
@pytest.mark.parametrize("used_for", Order)
def test_are_for_lists_that_are_sorted_by_the_same(made_for, used_for):
    cursor = encode_cursor(Position(PLACES[made_for], ID), secret=SECRET)
    if {made_for, used_for} in ({Order.NEWEST, Order.OLDEST}, {made_for}):
        assert decode_cursor(cursor, secrets=[SECRET], order=used_for).id == ID
    else:
        with pytest.raises(ValidationFailed):
            decode_cursor(cursor, secrets=[SECRET], order=used_for)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("image_id", ["", "short", "0123456789é", "0123456789ab"])
def test_an_id_that_is_none_is_refused(order, image_id):
    with pytest.raises(ValidationFailed):
        decode_cursor(encode_cursor(Position(PLACES[order], image_id), secret=SECRET), secrets=[SECRET], order=order)


def test_a_changed_one_is_refused():
    cursor = encode_cursor(Position("a.jpg", ID), secret=SECRET)
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        with pytest.raises(ValidationFailed):
            decode_cursor(cursor[:place] + other + cursor[place + 1 :], secrets=[SECRET], order=Order.NAME)
