"""Where an account is signed in: its owner sees it and ends it, and time does."""

from datetime import timedelta

import pytest

from chitram.domain.access import ANONYMOUS
from chitram.domain.audit import AuditAction
from chitram.domain.errors import Forbidden, SessionNotFound, Unauthorized
from chitram.domain.idempotency import KEPT_FOR, IdempotencyKey
from chitram.domain.sessions import FAMILIAR_FOR, SessionKind
from chitram.services import accounts, sessions
from tests.factories import pictures
from tests.unit.services.people import (
    ADDRESS,
    BOB,
    SECOND,
    events,
    member,
    register,
    seen,
    sign_in,
    upload,
    with_api_token,
)

DAY, MONTH = timedelta(days=1), timedelta(days=30)


async def test_are_listed_newest_first_without_those_that_have_expired(home):
    first = await register(home)
    await register(home, BOB)
    home.clock.advance(timedelta(hours=1))
    browser = await sign_in(home, kind=SessionKind.BROWSER, address="198.51.100.1")
    listed = await home.application.sessions.list(await seen(home, first))
    assert list(listed) == [browser.session, first.session]
    assert [session.address for session in listed] == ["198.51.100.1", ADDRESS]
    home.clock.advance(DAY)
    assert list(await home.application.sessions.list(await seen(home, browser))) == [browser.session]


async def test_one_is_ended_by_its_owner(home):
    mine, lost = await register(home), await sign_in(home)
    viewer = await seen(home, mine)
    await home.application.sessions.end(viewer, session_id=lost.session.id)
    with pytest.raises(Unauthorized):
        await seen(home, lost)
    with pytest.raises(SessionNotFound):
        await home.application.sessions.end(viewer, session_id=lost.session.id)
    await home.application.sessions.end(viewer, session_id=mine.session.id)
    with pytest.raises(Unauthorized):
        await seen(home, mine)


async def test_of_somebody_else_are_not_there(home):
    ada, bob = await register(home), await register(home, BOB)
    for session_id in (bob.session.id, "A" * 24, ""):
        with pytest.raises(SessionNotFound):
            await home.application.sessions.end(await seen(home, ada), session_id=session_id)
    await seen(home, bob)
    assert events(home, AuditAction.SESSION_END) == []


async def test_all_but_the_present_one_are_ended_at_once(home):
    mine = await register(home)
    others = [await sign_in(home), await sign_in(home, kind=SessionKind.BROWSER)]
    bob = await register(home, BOB)
    script = await with_api_token(home, await seen(home, mine))
    await home.application.sessions.end(await seen(home, mine), session_id=None)
    for ended in others:
        with pytest.raises(Unauthorized):
            await seen(home, ended)
    for left in (mine, bob):
        await seen(home, left)
    assert script.user_id == mine.user.id
    assert len(await home.application.api_tokens.list(await seen(home, mine))) == 1


async def test_there_are_so_many_and_the_oldest_one_ends_when_another_begins(home, monkeypatch):
    monkeypatch.setattr(accounts, "MAX_SESSIONS", 3)
    bob, opened = await register(home, BOB), [await register(home)]
    for _ in range(3):
        home.clock.advance(SECOND)
        opened.append(await sign_in(home))
    listed = await home.application.sessions.list(await seen(home, opened[-1]))
    assert list(listed) == [signed_in.session for signed_in in reversed(opened[1:])]
    with pytest.raises(Unauthorized):
        await seen(home, opened[0])
    await seen(home, bob)


async def test_are_for_who_signed_in(home):
    script = await with_api_token(home, await member(home))
    for viewer, error in ((ANONYMOUS, Unauthorized), (script, Forbidden)):
        with pytest.raises(error):
            await home.application.sessions.list(viewer)
        with pytest.raises(error):
            await home.application.sessions.end(viewer, session_id=None)


async def test_what_was_ended_is_on_record_without_its_name(home):
    mine, lost = await register(home), await sign_in(home)
    viewer = await seen(home, mine)
    await home.application.sessions.end(viewer, session_id=lost.session.id)
    await home.application.sessions.end(viewer, session_id=None)
    ended = events(home, AuditAction.SESSION_END)
    assert [(event.actor, event.address, dict(event.details)) for event in ended] == [
        (mine.user.id, ADDRESS, {"sessions": "one"}),
        (mine.user.id, ADDRESS, {"sessions": "others"}),
    ]
    assert lost.session.id not in repr(ended)


class TestSweep:
    async def test_forgets_what_has_expired_and_nothing_else(self, home):
        signed_in = await register(home)
        await sign_in(home, kind=SessionKind.BROWSER)  # from the same address
        await upload(home, pictures.jpeg(16, 16), key=IdempotencyKey("address:a", "0123456789abcdef"))
        await home.application.administration.invite(valid_for=MONTH + DAY)
        sweep = home.application.sessions.sweep
        assert await sweep() == 0
        home.clock.advance(KEPT_FOR)
        assert await sweep() == 2  # the bearer session, the key
        home.clock.advance(MONTH - KEPT_FOR)
        assert await sweep() == 1  # the browser's session
        home.clock.advance(DAY)
        assert await sweep() == 1  # the invitation
        assert await sweep() == 0
        home.clock.advance(FAMILIAR_FOR - MONTH - DAY - SECOND)
        assert await sweep() == 0
        home.clock.advance(SECOND)
        assert await sweep() == 1  # the address
        with pytest.raises(Unauthorized):
            await seen(home, signed_in)

    async def test_takes_a_bounded_number_at_a_time(self, home, monkeypatch):
        monkeypatch.setattr(sessions, "SWEEP_BATCH", 2)
        for number in range(3):
            await (sign_in if number else register)(home, address=f"192.0.2.{number}")
        home.clock.advance(DAY)
        assert [await home.application.sessions.sweep() for _ in range(3)] == [2, 1, 0]
        home.clock.advance(FAMILIAR_FOR)
        assert [await home.application.sessions.sweep() for _ in range(3)] == [2, 1, 0]  # the addresses
