"""Time and randomness at the edge."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from chitram.adapters.memory.clock import ManualClock, SystemClock, SystemIdentifiers
from chitram.domain.images import ID_ALPHABET, is_image_id


def test_the_clock_of_the_machine_tells_utc_and_does_not_run_backwards():
    clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_moves_when_it_is_moved():
    start = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    clock = ManualClock(start)
    assert clock.now() == start
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.now() == clock.now()
    clock.advance(timedelta(minutes=1))
    assert (clock.now() - start, clock.monotonic()) == (timedelta(minutes=1), 60.0)
    clock.jump(timedelta(hours=-1))
    assert (clock.now() - start, clock.monotonic()) == (timedelta(minutes=-59), 60.0)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))


def test_image_ids_have_their_form_and_do_not_repeat():
    make = SystemIdentifiers()
    ids = [make.image_id() for _ in range(5000)]
    assert all(is_image_id(image_id) for image_id in ids)
    assert len(set(ids)) == len(ids)


def test_every_place_of_an_image_id_takes_every_character():
    make = SystemIdentifiers()
    ids = [make.image_id() for _ in range(3000)]
    # That one of 62 characters is missing from one of 11 places has a chance of 62 * 11 * (61/62)^3000 < 1e-18.
    assert all({image_id[place] for image_id in ids} == set(ID_ALPHABET) for place in range(11))


def test_names_of_generations_accounts_sessions_and_secrets_have_their_form_and_do_not_repeat():
    make = SystemIdentifiers()
    for maker, form in (
        (make.generation, r"[0-9a-f]{12}"),
        (make.opaque_id, r"[0-9A-Za-z]{11}"),
        (make.session_id, r"[0-9A-Za-z_-]{24}"),
        (make.secret, r"[0-9A-Za-z_-]{43}"),
    ):
        made = [maker() for _ in range(2000)]
        assert all(re.fullmatch(form, name) for name in made)
        assert len(set(made)) == len(made)


def test_jitter_lies_between_nothing_and_one():
    make = SystemIdentifiers()
    draws = [make.jitter() for _ in range(1000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert max(draws) - min(draws) > 0.5
