"""Conditional requests (RFC 9110, section 13), for what exists."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from chitram.domain.errors import PreconditionFailed

_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# The three forms of a date that HTTP has had.
_DATE = re.compile(r"[A-Za-z]{3,9},? [A-Za-z0-9 :-]{16,22}( GMT)?\Z", re.ASCII)


def is_unchanged(headers: Mapping[bytes, bytes], *, etag: bytes, modified: datetime | None = None) -> bool:
    """Whether the client has this very representation: then the answer to GET and HEAD is 304.

    PreconditionFailed when the client wants this representation to be another one than it is. `etag` is a strong one;
    `modified` is None where no date is sent, and conditions on dates mean nothing. The order is that of section 13.2.2.
    """
    if b"if-match" in headers or (modified is not None and b"if-unmodified-since" in headers):
        _require(headers, etag=etag, modified=modified)
    tags = headers.get(b"if-none-match")
    if tags is not None:
        return none_match(tags, etag=etag)
    if modified is None or b"if-modified-since" not in headers:
        return False
    since = _date(headers[b"if-modified-since"])
    return since is not None and modified.replace(microsecond=0) <= since


def is_conditional(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request makes a condition of what has an entity tag and no date."""
    return b"if-match" in headers or b"if-none-match" in headers


def require_match(headers: Mapping[bytes, bytes], *, etag: bytes) -> None:
    """Raise PreconditionFailed for a request that would change this representation, and wants it to be another one.

    `etag` is a strong one; there is no date.
    """
    if is_unchanged(headers, etag=etag):
        raise PreconditionFailed


def none_match(field: bytes, *, etag: bytes) -> bool:
    """Whether an If-None-Match field names `etag`, a strong one, by weak comparison."""
    if field in (etag, b"*"):
        return True
    tag = etag.decode("latin-1")
    return any(found == tag for _, found in _ENTITY_TAG.findall(field.decode("latin-1")))


def _require(headers: Mapping[bytes, bytes], *, etag: bytes, modified: datetime | None) -> None:
    tags = headers.get(b"if-match")
    if tags is not None:
        if tags.strip() != b"*" and ("", etag.decode("latin-1")) not in _ENTITY_TAG.findall(tags.decode("latin-1")):
            raise PreconditionFailed
        return
    since = _date(headers[b"if-unmodified-since"])
    if since is not None and modified is not None and modified.replace(microsecond=0) > since:
        raise PreconditionFailed


def _date(field: bytes) -> datetime | None:
    """The moment that a field names; None for what is no date, as the RFC wants it ignored."""
    text = field.decode("latin-1")
    if _DATE.match(text) is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
