"""Repeating an upload without doubling it: what a client's `Idempotency-Key` stands for."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta

MIN_KEY = 16
MAX_KEY = 255
#: How long the answer of a key can be had again.
KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key. `scope` tells apart the keys of different clients: an account's, or an address's."""

    scope: str
    key: str

    @property
    def key_hash(self) -> str:
        """What is stored of the key, hex."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()

    def delete_token(self, image_id: str, *, secret: bytes) -> str:
        """The delete token of the image that was uploaded with this key: 43 URL-safe characters, always the same."""
        text = "\0".join(("delete-token", self.scope, self.key, image_id)).encode("utf-8", "surrogatepass")
        return urlsafe_b64encode(hmac.digest(secret, text, hashlib.sha256)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What is known of a key: `fingerprint` and `image_id` once its upload was kept, until then who works on it."""

    scope: str
    key_hash: str
    holder: str
    held_until: datetime
    expires_at: datetime
    fingerprint: str | None = None
    image_id: str | None = None
