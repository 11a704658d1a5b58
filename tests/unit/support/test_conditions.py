"""Conditional requests: the order of RFC 9110, section 13.2.2, and fields that are to be ignored."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chitram.domain.errors import PreconditionFailed
from chitram.entrypoints.support.caching import http_date
from chitram.entrypoints.support.conditions import is_conditional, is_unchanged, require_match
from tests.unit.support.records import CREATED

ETAG = b'"a"'
DATE = http_date(CREATED)
BEFORE, AFTER = http_date(CREATED - timedelta(seconds=1)), http_date(CREATED + timedelta(days=1))


def outcome(headers, *, modified=CREATED):
    try:
        return 304 if is_unchanged(headers, etag=ETAG, modified=modified) else 200
    except PreconditionFailed:
        return 412


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (b'"a"', 304),
        (b'W/"a"', 304),
        (b"*", 304),
        (b'"b", W/"a"', 304),
        (b'"x,y" , "a"', 304),
        (b'"b"', 200),
        (b"a", 200),
        (b'"aa"', 200),
        (b"", 200),
    ],
)
def test_if_none_match(field, status):
    assert outcome({b"if-none-match": field}) == status
    assert outcome({b"if-none-match": field}, modified=None) == status


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (b'"a"', 200),
        (b" * ", 200),
        (b'"b", "a"', 200),
        (b'W/"a"', 412),
        (b'"b"', 412),
        (b"a", 412),
        (b"", 412),
    ],
)
def test_if_match_wants_the_strong_tag(field, status):
    assert outcome({b"if-match": field}) == status
    assert outcome({b"if-match": field}, modified=None) == status


@pytest.mark.parametrize(
    ("headers", "conditional", "holds"),
    [
        ({}, False, True),
        ({b"if-modified-since": DATE, b"if-unmodified-since": BEFORE}, False, True),
        ({b"if-match": ETAG}, True, True),
        ({b"if-match": b"*"}, True, True),
        ({b"if-match": b'"b"'}, True, False),
        ({b"if-match": b'W/"a"'}, True, False),
        ({b"if-none-match": b'"b"'}, True, True),
        ({b"if-none-match": b'W/"a"'}, True, False),
        ({b"if-none-match": b"*"}, True, False),
        ({b"if-match": ETAG, b"if-none-match": ETAG}, True, False),
    ],
)
def test_what_is_to_be_changed(headers, conditional, holds):
    assert is_conditional(headers) is conditional
    if holds:
        require_match(headers, etag=ETAG)
    else:
        with pytest.raises(PreconditionFailed):
            require_match(headers, etag=ETAG)


@pytest.mark.parametrize(
    ("date", "since", "unmodified"),
    [
        (DATE, 304, 200),
        (AFTER, 304, 200),
        (BEFORE, 200, 412),
        (b"Wednesday, 04-Mar-26 05:06:07 GMT", 304, 200),
        (b"Wed Mar  4 05:06:07 2026", 304, 200),
        (b"Wed, 99 Mar 2026 05:06:07 GMT", 200, 200),
        (b"yesterday", 200, 200),
        (b"2026-03-04T05:06:07Z", 200, 200),
        (b"", 200, 200),
        (DATE + b", " + DATE, 200, 200),
    ],
)
def test_dates(date, since, unmodified):
    assert outcome({b"if-modified-since": date}) == since
    assert outcome({b"if-unmodified-since": date}) == unmodified
    # Where no date is sent, none is compared.
    assert outcome({b"if-modified-since": date}, modified=None) == 200
    assert outcome({b"if-unmodified-since": date}, modified=None) == 200


def expected(match, unmodified, none, since):
    """Section 13.2.2, steps 1 to 4, each condition True, False or None when it is absent."""
    if match is not None:
        if not match:
            return 412
    elif unmodified is False:
        return 412
    if none is not None:
        return 200 if none else 304
    return 304 if since is False else 200


@pytest.mark.parametrize("conditions", list(itertools.product((None, True, False), repeat=4)))
def test_the_order_of_all_four(conditions):
    values = (
        (b"if-match", {True: ETAG, False: b'"b"'}),
        (b"if-unmodified-since", {True: DATE, False: BEFORE}),
        (b"if-none-match", {True: b'"b"', False: ETAG}),
        (b"if-modified-since", {True: BEFORE, False: DATE}),
    )
    headers = {name: texts[holds] for (name, texts), holds in zip(values, conditions, strict=True) if holds is not None}
    assert outcome(headers) == expected(*conditions)


@given(st.binary(max_size=40), st.from_regex(r"[A-Za-z]{3},? [A-Za-z0-9 :-]{16,22}( GMT)?", fullmatch=True))
def test_no_date_is_too_odd(raw, text):
    for field in (raw, text.encode("latin-1", "replace")):
        assert outcome({b"if-modified-since": field}) in (200, 304)
        assert outcome({b"if-unmodified-since": field}) in (200, 412)
