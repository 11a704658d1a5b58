"""Whether a change was meant by our own pages: everything that browsers say, against every token."""

import itertools

import pytest

from chitram.domain.errors import CsrfRefused
from chitram.entrypoints.support.csrf import (
    is_cross_site_embed,
    is_foreign,
    is_foreign_embed,
    require_own_page,
)
from tests.unit.support.asgi_client import make_scope

OWN = "http://img.example.org"
EVIL = "https://evil.example"
SITES = {None: None, "same-origin": True, "none": True, "same-site": False, "cross-site": False, "": False, "x": False}
ORIGINS = {
    None: None,
    "null": None,
    OWN: True,
    "http://IMG.example.org:80": True,
    "https://img.example.org": False,
    "http://img.example.org:8080": False,
    "http://img.example.org.evil.example": False,
    EVIL: False,
    "": False,
    "http://[": False,
    "file://": False,
}
TOKENS = {None: None, "right": True, "wrong": False, "": False}


def passes(*, site=None, origin=None, header=None, form=None, public_url=None, scheme="http", follows=False):
    fields = {"sec-fetch-site": site, "origin": origin, "x-csrf-token": header}
    headers = [(name, value) for name, value in fields.items() if value is not None]
    scope = make_scope(method="POST", headers=headers, scheme=scheme, **{"chitram.host": "img.example.org"})
    try:
        require_own_page(
            scope,
            public_url=public_url,
            is_right=lambda token: token == "right",
            form_token=form,
            form_follows=follows,
        )
    except CsrfRefused:
        return False
    return True


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", ORIGINS)
def test_every_combination(site, origin):
    said = SITES[site] if site is not None else ORIGINS[origin]
    for header, form in itertools.product(TOKENS, TOKENS):
        given = [TOKENS[token] for token in (header, form) if token is not None]
        expected = said is not False and all(given) and (said is True or bool(given))
        assert passes(site=site, origin=origin, header=header, form=form) is expected, (header, form)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", ORIGINS)
def test_what_no_form_can_change_is_refused_before_it_is_read(site, origin):
    said = SITES[site] if site is not None else ORIGINS[origin]
    for header, right in TOKENS.items():
        expected = said is not False and right is not False
        assert passes(site=site, origin=origin, header=header, follows=True) is expected, header


def test_the_public_address_is_ours_too():
    public = "https://pictures.example"
    assert passes(origin=public, public_url=public)
    assert passes(origin=OWN, public_url=public)
    assert not passes(origin="http://pictures.example", public_url=public)
    assert not passes(origin=EVIL, public_url="nonsense")


def test_the_scheme_is_the_one_that_the_browser_used():
    assert passes(origin="https://img.example.org", scheme="https")
    assert not passes(origin="http://img.example.org", scheme="https")


@pytest.mark.parametrize(
    ("site", "mode", "dest", "foreign"),
    [
        (None, None, None, False),
        (None, b"no-cors", b"image", False),
        (b"same-origin", b"no-cors", b"image", False),
        (b"none", b"navigate", b"document", False),
        (b"same-site", b"no-cors", b"image", True),
        (b"same-site", b"navigate", b"iframe", True),
        (b"same-site", b"navigate", b"document", False),
        (b"cross-site", b"navigate", b"document", False),
        (b"cross-site", b"navigate", None, False),
        (b"cross-site", b"navigate", b"iframe", True),
        (b"cross-site", b"navigate", b"object", True),
        (b"cross-site", b"navigate", b"", True),
        (b"cross-site", b"no-cors", b"image", True),
        (b"cross-site", b"cors", b"empty", True),
        (b"cross-site", None, None, True),
        (b"something new", b"no-cors", b"image", True),
    ],
)
def test_what_is_embedded_elsewhere(site, mode, dest, foreign):
    fields = {b"sec-fetch-site": site, b"sec-fetch-mode": mode, b"sec-fetch-dest": dest}
    headers = {name: value for name, value in fields.items() if value is not None}
    assert is_foreign_embed(headers) is foreign
    assert is_cross_site_embed(headers) is (foreign and site == b"cross-site")
    assert is_foreign(headers) is (site not in (None, b"same-origin", b"none"))
