"""Cursors: where the next page of a list begins, opaque to clients and safe from tampering."""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import is_image_id
from chitram.ports.unit_of_work import Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAC_BYTES = 9


def encode_cursor(position: Position, *, secret: bytes) -> str:
    """The cursor of the page that begins after `position`."""
    text = f"{(position.created_at - _EPOCH) // timedelta(microseconds=1)}.{position.id}".encode()
    return base64.urlsafe_b64encode(_mac(text, secret) + text).decode().rstrip("=")


def decode_cursor(cursor: str, *, secret: bytes) -> Position:
    """The position in a cursor that we made; ValidationFailed for any other text."""
    try:
        data = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mac, text = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, _mac(text, secret)):
            raise _invalid()
        moment, _, image_id = text.decode("ascii").partition(".")
        created_at = _EPOCH + timedelta(microseconds=int(moment))
    except (ValueError, OverflowError, binascii.Error):
        raise _invalid() from None
    if not is_image_id(image_id):
        raise _invalid()
    return Position(created_at, image_id)


def _mac(text: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, b"cursor:" + text, hashlib.sha256)[:_MAC_BYTES]


def _invalid() -> ValidationFailed:
    return ValidationFailed(details={"errors": [{"field": "cursor", "message": "This cursor was not made here."}]})
