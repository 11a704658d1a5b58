"""Who is asking: what counts as a credential, and what a stale one leads to."""

from datetime import timedelta

import pytest

from chitram.domain.access import Viewer
from chitram.domain.api_tokens import ALL_SCOPES, Scope
from chitram.domain.errors import CsrfRefused, TokenExpired, Unauthorized
from chitram.domain.sessions import SessionKind
from chitram.entrypoints.support.asgi import CLIENT, REPLY_HEADERS, VIEWER, add_reply_headers
from chitram.entrypoints.support.auth import Gate, bearer_token, delete_token, is_anonymous, is_by_cookie
from tests.unit.support.asgi_client import make_scope
from tests.unit.support.doorkeepers import LIFE, Doorkeeper

CLEARED = b"chitram_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"


@pytest.fixture
def keeper():
    return Doorkeeper()


@pytest.fixture
def gate(keeper):
    return Gate(keeper.authentication, public_url=None)


def request(method="GET", **fields):
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return make_scope(method=method, headers=headers, **{CLIENT: "192.0.2.7", "chitram.host": "img.example.org"})


def by_cookie(token, method="GET", **fields):
    return request(method, cookie=f"theme=dark; chitram_session={token}", **fields)


def cleared(scope):
    return (b"set-cookie", CLEARED) in scope.get(REPLY_HEADERS, [])


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer   a.b-c_d~+/=", "a.b-c_d~+/="),
        (b"Basic dTpw, Bearer abc", "abc"),
        (b"Bearer abc, Basic dTpw", "abc"),
        (b"Basic x", None),
        (b"", None),
        (b"nonsense", None),
        (b"Digest username=bearer", None),
        (b"Bearertoken x", None),
    ],
)
def test_bearer_tokens(value, token):
    assert bearer_token({b"authorization": value}) == token


@pytest.mark.parametrize(
    "value",
    [b"Bearer", b"BEARER  ", b"Bearer,Basic x", b"Bearer a b", b"Bearer a, Bearer a", b"Bearer \xe9", b"Bearer a\x7f"],
)
def test_bearer_tokens_that_mean_nothing_for_sure(value):
    with pytest.raises(Unauthorized):
        bearer_token({b"authorization": value})


def test_delete_tokens():
    assert delete_token({}, {}) is None
    assert delete_token({b"x-delete-token": b"a"}, {"delete_token": "b"}) == "a"
    assert delete_token({}, {"delete_token": "b"}) == "b"


def test_what_may_be_a_credential():
    assert is_anonymous({b"accept": b"*/*", b"host": b"h"}, {"v": "1"})
    assert not is_anonymous({b"authorization": b""}, {})
    assert not is_anonymous({b"cookie": b""}, {})
    assert not is_anonymous({b"x-delete-token": b""}, {})
    assert not is_anonymous({}, {"delete_token": ""})


async def test_a_stranger_is_not_looked_up(gate, keeper):
    scope = request(cookie="theme=dark", authorization="Basic dTpw")
    viewer = await gate.viewer(scope, {"delete_token": "t"})
    assert viewer == scope[VIEWER] == Viewer(delete_token="t", address="192.0.2.7")
    assert keeper.asked == 0
    assert REPLY_HEADERS not in scope


async def test_each_kind_of_session_has_its_place(gate, keeper):
    _, bearer = keeper.sign_in(SessionKind.BEARER)
    _, cookie = keeper.sign_in(SessionKind.BROWSER)
    program = await gate.viewer(request(authorization=f"Bearer {bearer}"), {})
    browser = await gate.viewer(by_cookie(cookie), {})
    assert program.user == browser.user == keeper.user
    assert (is_by_cookie(program), is_by_cookie(browser)) == (False, True)
    with pytest.raises(Unauthorized):
        await gate.viewer(request(authorization=f"Bearer {cookie}"), {})
    swapped = by_cookie(bearer)
    assert (await gate.viewer(swapped, {})).user is None
    assert cleared(swapped)


async def test_api_tokens_bring_their_scopes(gate, keeper):
    secret = keeper.new_api_token(frozenset({Scope.READ}))
    viewer = await gate.viewer(request(authorization=f"Bearer {secret}"), {"delete_token": "t"})
    assert (viewer.user, viewer.session, viewer.scopes) == (keeper.user, None, frozenset({Scope.READ}))
    assert viewer.delete_token == "t"
    assert not is_by_cookie(viewer)


async def test_bearer_wins_over_a_cookie(gate, keeper):
    session, bearer = keeper.sign_in(SessionKind.BEARER)
    _, cookie = keeper.sign_in(SessionKind.BROWSER)
    viewer = await gate.viewer(by_cookie(cookie, "POST", authorization=f"Bearer {bearer}"), {})
    assert viewer.session == session
    with pytest.raises(Unauthorized):
        await gate.viewer(by_cookie(cookie, authorization="Bearer x"), {})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("how", ["ended", "expired", "garbage"])
async def test_a_stale_cookie_is_nobodys_where_nothing_changes(gate, keeper, method, how):
    scope = by_cookie(stale(keeper, how), method)
    viewer = await gate.viewer(scope, {})
    assert (viewer.user, viewer.address, viewer.scopes) == (None, "192.0.2.7", ALL_SCOPES)
    assert cleared(scope)


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
@pytest.mark.parametrize(("how", "error"), [("ended", Unauthorized), ("expired", TokenExpired)])
async def test_a_stale_cookie_changes_nothing(gate, keeper, method, how, error):
    scope = by_cookie(stale(keeper, how), method, sec_fetch_site="same-origin")
    with pytest.raises(error):
        await gate.viewer(scope, {})
    assert cleared(scope)
    assert VIEWER not in scope


async def test_a_stale_cookie_is_no_obstacle_to_signing_in(gate, keeper):
    scope = by_cookie(stale(keeper, "ended"), "POST")
    assert (await gate.identify(scope, {}, signing_in=True)).user is None
    assert cleared(scope)
    with pytest.raises(Unauthorized):
        await gate.identify(request("POST", authorization="Bearer x"), {}, signing_in=True)


def stale(keeper, how):
    session, token = keeper.sign_in(SessionKind.BROWSER)
    if how == "ended":
        keeper.sign_out(session)
    elif how == "expired":
        keeper.clock.advance(LIFE + timedelta(seconds=1))
    return "garbage" if how == "garbage" else token


async def test_another_sites_page_gets_nothing_by_cookie(gate, keeper):
    _, cookie = keeper.sign_in(SessionKind.BROWSER)
    for site in ("cross-site", "same-site"):
        for method, mode, dest in (
            ("GET", "no-cors", "image"),
            ("HEAD", "cors", "empty"),
            ("GET", "navigate", "frame"),
        ):
            fields = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": dest}
            embedded = by_cookie(cookie, method, **fields)
            assert (await gate.viewer(embedded, {})).user is None
            assert REPLY_HEADERS not in embedded
        followed = by_cookie(cookie, sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document")
        assert (await gate.viewer(followed, {})).user == keeper.user


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
async def test_what_another_sites_page_wants_changed_is_refused_and_not_anonymous(gate, keeper, site, mode):
    _, cookie = keeper.sign_in(SessionKind.BROWSER)
    scope = by_cookie(cookie, "POST", sec_fetch_site=site, sec_fetch_mode=mode)
    with pytest.raises(CsrfRefused):
        await gate.viewer(scope, {})
    assert scope[VIEWER].user == keeper.user
    assert REPLY_HEADERS not in scope


@pytest.mark.parametrize("how", ["ended", "expired", "garbage"])
async def test_another_sites_page_ends_no_stale_cookie(gate, keeper, how):
    scope = by_cookie(stale(keeper, how), "POST", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert (await gate.viewer(scope, {})).user is None
    assert not cleared(scope)
    for fields in ({"sec_fetch_mode": "navigate"}, {"sec_fetch_site": "same-site"}):
        scope = by_cookie(stale(keeper, how), "POST", **{"sec_fetch_site": "cross-site"} | fields)
        with pytest.raises(Unauthorized):
            await gate.viewer(scope, {})
        assert cleared(scope)


async def test_changes_by_cookie_come_from_our_own_pages(gate, keeper):
    session, cookie = keeper.sign_in(SessionKind.BROWSER)
    token = keeper.authentication.csrf_token(session.id)
    assert await gate.viewer(by_cookie(cookie, "POST", sec_fetch_site="same-origin"), {})
    assert await gate.viewer(by_cookie(cookie, "POST", x_csrf_token=token), {})
    for fields in ({}, {"sec_fetch_site": "same-site"}, {"x_csrf_token": "x"}):
        scope = by_cookie(cookie, "POST", **fields)
        with pytest.raises(CsrfRefused):
            await gate.viewer(scope, {})
        assert scope[VIEWER].user == keeper.user


async def test_a_form_may_bring_the_token(gate, keeper):
    session, cookie = keeper.sign_in(SessionKind.BROWSER)
    scope = by_cookie(cookie, "POST")
    viewer = await gate.identify(scope, {})
    gate.require_own_page(scope, viewer, form_token=keeper.authentication.csrf_token(session.id))
    gate.require_own_page(scope, viewer, form_follows=True)
    with pytest.raises(CsrfRefused):
        gate.require_own_page(scope, viewer)


async def test_bearer_needs_no_page_of_ours(gate, keeper):
    _, bearer = keeper.sign_in()
    assert await gate.viewer(request("POST", authorization=f"Bearer {bearer}", sec_fetch_site="cross-site"), {})


async def test_who_registers_shows_no_bad_token(gate, keeper):
    _, cookie = keeper.sign_in(SessionKind.BROWSER)
    assert (await gate.stranger(by_cookie(cookie, "POST"))).user is None
    with pytest.raises(Unauthorized):
        await gate.stranger(request("POST", authorization="Bearer x"))


async def test_setting_and_clearing_the_cookie(keeper):
    gate = Gate(keeper.authentication, public_url="https://img.example.org")
    scope = request()
    add_reply_headers(scope, [(b"a", b"b")])
    gate.remember(scope, "token", life=timedelta(days=30))
    browser = Viewer(user=keeper.user, session=keeper.sign_in(SessionKind.BROWSER)[0])
    gate.forget(scope, browser)
    gate.forget(scope, Viewer(user=keeper.user, session=keeper.sign_in()[0]))
    assert scope[REPLY_HEADERS] == [
        (b"a", b"b"),
        (
            b"set-cookie",
            b"__Host-chitram_session=token; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax; Secure",
        ),
        (b"set-cookie", b"__Host-chitram_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"),
    ]
