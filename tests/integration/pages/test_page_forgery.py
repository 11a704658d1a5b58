"""No other site's page changes anything: every form of every page, as the routers name them."""

import pytest

from chitram.entrypoints.asgi import PAGE_ROUTERS
from tests.factories.accounts import OWN_PAGE, PASSWORD
from tests.integration.pages.browsing import Page
from tests.integration.requests import photo, uploaded

#: Every address that a page's form is sent to.
CHANGES = sorted(
    route.path for router in PAGE_ROUTERS for route in router.routes if (route.methods or set()) - {"GET", "HEAD"}
)
SIGNING_IN = {"/login", "/register"}
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "http://testserver:81"},
]


def test_they_are_known():
    assert len(CHANGES) == 13
    assert set(CHANGES) > SIGNING_IN


@pytest.fixture
async def paths(ada):
    """The addresses with what they name filled in, all of it the member's own."""
    image = await uploaded(ada.client, headers=ada.account.bearer)
    account = await ada.open("/account")
    made = Page(await ada.send(account.form("/account/tokens"), status=200, name="x"))
    (revoke,) = [form.action for form in made.forms if form.action.endswith("/revoke")]
    session = next(form.action for form in made.forms if form.action.startswith("/account/sessions/"))
    names = {
        "{image_id}": image["id"],
        "{token_id}": revoke.split("/")[3],
        "{session_id}": session.split("/")[3],
    }
    return lambda path: _filled(path, names)


def _filled(path, names):
    for name, value in names.items():
        path = path.replace(name, value)
    assert "{" not in path
    return path


def body_of(path, **fields):
    if path == "/upload":
        return {"data": fields, "files": {"file": ("a.jpg", photo(), "image/jpeg")}}
    return {"data": {"email": "eve@example.org", "password": PASSWORD, "visibility": "public"} | fields}


@pytest.mark.parametrize("path", CHANGES)
async def test_is_refused(ada, paths, path):
    path = paths(path)
    before = (await ada.open("/account")).structure, (await ada.open("/my-images")).text
    cookie = ada.client.cookies["chitram_session"]
    token = (await ada.open("/account")).form("/account/password").filled({})["csrf_token"][0]
    attempts = [(headers, {}) for headers in FOREIGN]
    attempts += [(headers, {"csrf_token": token}) for headers in FOREIGN]
    attempts += [
        ({}, {}),
        ({}, {"csrf_token": "0" * 64}),
        (OWN_PAGE, {"csrf_token": "0" * 64}),
        ({}, {"csrf_token": ""}),
    ]
    attempts += [(OWN_PAGE | {"X-CSRF-Token": "0" * 64}, {})]
    for headers, fields in attempts:
        answer = await ada.client.post(path, headers=headers, **body_of(path, **fields))
        assert answer.status_code == 403, (headers, fields)
        assert "The page is too old" in Page(answer).text or "Load the page again" in Page(answer).text
        assert "set-cookie" not in answer.headers
    assert ((await ada.open("/account")).structure, (await ada.open("/my-images")).text) == before
    assert ada.client.cookies["chitram_session"] == cookie


@pytest.mark.parametrize("path", CHANGES)
async def test_the_right_token_is_enough(ada, paths, path):
    token = (await ada.open("/account")).form("/account/password").filled({})["csrf_token"][0]
    path = paths(path)
    answer = await ada.client.post(path, **body_of(path, csrf_token=token))
    assert "Load the page again" not in answer.text
    assert answer.status_code in ((401,) if path == "/login" else (200, 303, 422))


@pytest.mark.parametrize("path", sorted(SIGNING_IN))
async def test_nobody_is_signed_in_by_strangers(stranger, ada, path):
    for headers in [{}, *FOREIGN, {"X-CSRF-Token": "x"}]:
        answer = await stranger.client.post(path, headers=headers, **body_of(path))
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), headers


async def test_every_form_has_its_token(ada):
    await uploaded(ada.client, headers=ada.account.bearer)
    image = next(link for link in (await ada.open("/my-images")).links if link.startswith("/image/"))
    for path in ("/", "/upload", "/account", "/my-images", image, f"{image}/delete"):
        for form in (await ada.open(path)).forms:
            if form.method == "post":
                assert len(form.filled({})["csrf_token"][0]) == 64, (path, form.action)
