"""Cursors: where the next page of a list begins, opaque to clients and safe from tampering."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from chitram.domain.errors import ValidationFailed
from chitram.domain.images import is_image_id
from chitram.ports.repositories.images import Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAC_BYTES = 9


def encode_cursor(position: Position, *, secret: bytes) -> str:
    """The cursor of the page that begins after `position`."""
    text = f"{(position.created_at - _EPOCH) // timedelta(microseconds=1)}.{position.id}".encode()
    return base64.urlsafe_b64encode(_mac(text, secret) + text).decode().rstrip("=")


def decode_cursor(cursor: str, *, secrets: Sequence[bytes]) -> Position:
    """The position in a cursor that we made with one of `secrets`; ValidationFailed for any other text."""
    try:
        data = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mac, text = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(text, secret)) for secret in secrets):
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
    return ValidationFailed.of("cursor", "This cursor was not made here.")
