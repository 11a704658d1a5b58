"""Cursors: where the next page of a list begins, opaque to clients and safe from tampering."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import MAX_TITLE, Order, is_image_id
from chitram.ports.repositories.images import Position

#: Longest cursor: its position is by a title, whose characters may have four bytes each.
MAX_CURSOR = (9 + 13 + 4 * MAX_TITLE) * 4 // 3 + 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAC_BYTES = 9
#: What positions begin with, so that nobody goes on in a list of another kind. Moments have a digit there.
_NAME, _SIZE = "n", "s"


def encode_cursor(position: Position, *, secret: bytes) -> str:
    """The cursor of the page that begins after `position`."""
    text = _written(position).encode()
    return base64.urlsafe_b64encode(_mac(text, secret) + text).decode().rstrip("=")


def decode_cursor(cursor: str, *, secrets: Sequence[bytes], order: Order = Order.NEWEST) -> Position:
    """The position in a cursor that we made with one of `secrets` for a list of this order, or for one that is sorted
    by the same the other way round; ValidationFailed for any other text.
    """
    try:
        data = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mac, text = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(text, secret)) for secret in secrets):
            raise _invalid()
        position = _read(text.decode(), order=order)
    except (ValueError, OverflowError, binascii.Error):
        raise _invalid() from None
    if not is_image_id(position.id):
        raise _invalid()
    return position


def _written(position: Position) -> str:
    key = position.key
    if isinstance(key, str):
        return f"{_NAME}{position.id}.{key}"
    if isinstance(key, int):
        return f"{_SIZE}{key}.{position.id}"
    return f"{(key - _EPOCH) // timedelta(microseconds=1)}.{position.id}"


def _read(text: str, *, order: Order) -> Position:
    """What `_written` wrote. ValueError, OverflowError."""
    kind = text[:1] if text[:1] in (_NAME, _SIZE) else ""
    if kind != {Order.NAME: _NAME, Order.SIZE: _SIZE}.get(order, ""):
        raise ValueError("a position in a list of another order")
    first, _, second = text.removeprefix(kind).partition(".")
    if order is Order.NAME:
        return Position(second, first)
    if order is Order.SIZE:
        return Position(int(first), second)
    return Position(_EPOCH + timedelta(microseconds=int(first)), second)


def _mac(text: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"cursor:" + text, hashlib.sha256)[:_MAC_BYTES]


def _invalid() -> ValidationFailed:
    return ValidationFailed.of("cursor", "was not made here")
