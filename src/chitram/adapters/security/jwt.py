"""Access tokens: JWTs with a fixed form, of which nothing but our own is believed."""

import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from jwt import PyJWS, PyJWTError
from jwt.algorithms import HMACAlgorithm

from chitram.domain.errors import TokenExpired, Unauthorized
from chitram.ports.tokens import Claims

ALGORITHM = "HS256"
#: Ours have about 230 characters. Longer texts are refused before anything looks at them.
MAX_TOKEN = 512
#: How far the clocks of several servers may be apart, in seconds.
CLOCK_SKEW = 60
# The last second of the year 9999: later ones are no dates.
_MAX_TIME = 253_402_300_799
_CLAIMS = frozenset({"sub", "iat", "exp", "jti"})


class JwtSigner:
    """Signs with `current`, and believes what was signed with it or with one of `previous`.

    The key is found by the header's `kid`, among our own alone. A token is believed when its header and its claims are
    exactly those that ours have, so one that was signed for something else is none. ValueError for an empty key.
    """

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        if not all((current, *previous)):
            raise ValueError("a key must not be empty")
        self._key_id = key_id(current)
        # Of two keys with one id, which is next to impossible, today's must win, or nobody could sign in.
        self._keys: Mapping[str, bytes] = {**{key_id(key): key for key in previous}, self._key_id: current}
        self._jws = PyJWS(algorithms=[])
        self._jws.register_algorithm(ALGORITHM, _Hs256(HMACAlgorithm.SHA256))

    def sign(self, claims: Claims) -> str:
        payload = {
            "sub": claims.user_id,
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
            "jti": claims.session_id,
        }
        text = json.dumps(payload, separators=(",", ":")).encode()
        return self._jws.encode(text, self._keys[self._key_id], algorithm=ALGORITHM, headers={"kid": self._key_id})

    def read(self, token: str, *, now: datetime) -> Claims:
        if len(token) > MAX_TOKEN:
            raise Unauthorized
        try:
            payload = self._verified(token)
        except (PyJWTError, ValueError, RecursionError):
            raise Unauthorized from None
        issued_at, expires_at = _times(payload)
        user_id, session_id = payload["sub"], payload["jti"]
        if not (_is_id(user_id) and _is_id(session_id)):
            raise Unauthorized
        seconds = now.timestamp()
        if issued_at > seconds + CLOCK_SKEW:
            raise Unauthorized
        if seconds >= expires_at:
            raise TokenExpired
        return Claims(
            user_id=str(user_id),
            session_id=str(session_id),
            issued_at=datetime.fromtimestamp(issued_at, UTC),
            expires_at=datetime.fromtimestamp(expires_at, UTC),
        )

    def _verified(self, token: str) -> Mapping[str, object]:
        name = _claimed_key_id(token)
        key = self._keys.get(name)
        if key is None:
            raise Unauthorized
        found = self._jws.decode_complete(token, key, algorithms=[ALGORITHM])
        if found["header"] != {"alg": ALGORITHM, "typ": "JWT", "kid": name}:
            raise Unauthorized
        payload = json.loads(found["payload"])
        if not isinstance(payload, dict) or payload.keys() != _CLAIMS:
            raise Unauthorized
        return payload


class _Hs256(HMACAlgorithm):
    """HMAC over the bytes of the key as they are.

    The library looks for public keys and JSON in it at every use, against a confusion of algorithms that cannot be
    where there is but one, and it warns of short keys, which the settings refuse where it matters.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key

    def check_key_length(self, key: object) -> str | None:  # noqa: ARG002  (the library has it)
        return None


def key_id(key: bytes) -> str:
    """How tokens name the key that signed them: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


def _claimed_key_id(token: str) -> str:
    """The `kid` of a header that nobody has verified: good for looking a key up and for nothing else. ValueError."""
    # Read here and not by the library, which would take the whole token apart for it, and then once more.
    segment = token.partition(".")[0]
    header = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    name = header.get("kid") if isinstance(header, dict) else None
    return name if isinstance(name, str) else ""


def _times(payload: Mapping[str, object]) -> tuple[int, int]:
    issued_at, expires_at = payload["iat"], payload["exp"]
    # `True` is an integer to Python, and a number with a fraction none of ours.
    if type(issued_at) is not int or type(expires_at) is not int or not 0 <= issued_at <= expires_at <= _MAX_TIME:
        raise Unauthorized
    return issued_at, expires_at


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value != ""
