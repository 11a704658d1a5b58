"""The session's cookie: its name, its attributes, and finding it among others."""

from datetime import timedelta

import pytest

from chitram.entrypoints.support.cookies import (
    clear_session_cookie,
    is_secure,
    session_cookie,
    set_session_cookie,
)
from tests.unit.support.asgi_client import make_scope


def test_attributes():
    assert set_session_cookie("a.b", life=timedelta(days=1), secure=False) == (
        b"set-cookie",
        b"chitram_session=a.b; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax",
    )
    assert set_session_cookie("a.b", life=timedelta(days=1), secure=True)[1] == (
        b"__Host-chitram_session=a.b; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert clear_session_cookie(secure=False)[1].startswith(b"chitram_session=; Max-Age=0;")


@pytest.mark.parametrize(
    ("scheme", "public_url", "secure"),
    [
        ("http", None, False),
        ("http", "http://img.example.org", False),
        ("https", None, True),
        ("http", "https://img.example.org", True),
    ],
)
def test_when_it_is_secure(scheme, public_url, secure):
    assert is_secure(make_scope(scheme=scheme), public_url=public_url) is secure


@pytest.mark.parametrize(
    ("fields", "scheme", "token"),
    [
        ([], "http", None),
        (["a=b"], "http", None),
        (["chitram_session=t"], "http", "t"),
        (["a=b;chitram_session=t; c=d"], "http", "t"),
        (["a=b", "chitram_session=t"], "http", "t"),
        (["chitram_session=first; chitram_session=second"], "http", "first"),
        (["xchitram_session=t"], "http", None),
        (["__Host-chitram_session=t"], "http", None),
        (["__Host-chitram_session=t"], "https", "t"),
        # Whoever can set cookies for a wider domain, or without encryption, could put one of theirs in its place.
        (["chitram_session=t"], "https", None),
        (["chitram_session=\xe9"], "http", "\xe9"),
        (["chitram_session="], "http", ""),
        (["chitram_session"], "http", ""),
    ],
)
def test_finding_it(fields, scheme, token):
    scope = make_scope(headers=[("cookie", field) for field in fields], scheme=scheme)
    assert session_cookie(scope, public_url=None) == token
