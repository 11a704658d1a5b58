"""Digests that a client declares for what it sends (RFC 9530)."""

import base64
import binascii
import re
from collections.abc import Mapping

from chitram.domain.errors import InvalidRequest

CONTENT_DIGEST = b"content-digest"
REPR_DIGEST = b"repr-digest"

# A member of a structured dictionary whose value is a byte sequence, with parameters that mean nothing here.
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?\s*\Z")


def declared_sha256(headers: Mapping[bytes, bytes], *, field: bytes = REPR_DIGEST) -> str | None:
    """The SHA-256, hex, that a digest field declares; None without one. Raises InvalidRequest for a malformed field.

    Other algorithms are ignored, as the RFC asks.
    """
    value = headers.get(field)
    return None if value is None else parse_sha256(value.decode("latin-1"), field=field.decode())


def parse_sha256(value: str, *, field: str) -> str | None:
    """The SHA-256, hex, in the value of a digest field called `field`."""
    found: str | None = None
    for member in value.split(","):
        match = _MEMBER.match(member)
        if match is None:
            raise _malformed(field)
        if match.group(1) == "sha-256":
            found = _decode(match.group(2), field=field)
    return found


def sha256_member(sha256: str) -> bytes:
    """The value of a digest field for a hash given in hex."""
    return b"sha-256=:" + binascii.b2a_base64(bytes.fromhex(sha256), newline=False) + b":"


def _decode(text: str, *, field: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        raise _malformed(field) from None
    if len(digest) != 32:
        raise _malformed(field)
    return digest.hex()


def _malformed(field: str) -> InvalidRequest:
    return InvalidRequest(f"The field {field} is not well-formed.", details={"field": field})
