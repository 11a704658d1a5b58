"""Servers on one database know of each other; what dead ones left behind is seen through."""

import pytest

from chitram.adapters.db.neighbours import Neighbours


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'c.db'}"


def test_alone(url):
    only = Neighbours(url=url)
    assert not only.present()
    only.close()


def test_both_know_as_soon_as_the_second_is_there(url):
    first = Neighbours(url=url)
    second = Neighbours(url=url)
    assert first.present()
    assert second.present()
    second.close()
    assert first.present()  # a third one may have come meanwhile: only a new start finds out
    first.close()


def test_a_mark_of_servers_that_are_gone_is_cleared_away(url):
    first = Neighbours(url=url)
    Neighbours(url=url).close()
    first.close()
    alone = Neighbours(url=url)
    assert not alone.present()
    alone.close()


def test_who_takes_the_first_place_still_sees_guests(url):
    first = Neighbours(url=url)
    guest = Neighbours(url=url)
    first.close()
    successor = Neighbours(url=url)
    assert successor.present()
    assert guest.present()
    successor.close()
    guest.close()
