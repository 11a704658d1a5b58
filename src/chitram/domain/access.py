"""Who may do what to which image: the one place that decides it."""

import hashlib
import hmac
from dataclasses import dataclass

from chitram.domain.errors import DeleteTokenRequired, ImageNotFound, InvalidDeleteToken
from chitram.domain.images import Image, ImageRecord


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever is asking. Everybody is anonymous so far; a delete token may have been presented."""

    delete_token: str | None = None


ANONYMOUS = Viewer()


def hash_delete_token(token: str) -> str:
    """The form in which a delete token is stored: SHA-256, hex. The token has 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def controls(image: Image, viewer: Viewer) -> bool:
    """Whether `viewer` may change `image`: its delete token says so."""
    if viewer.delete_token is None or image.delete_token_hash is None:
        return False
    return hmac.compare_digest(hash_delete_token(viewer.delete_token), image.delete_token_hash)


def may_see(record: ImageRecord, viewer: Viewer) -> bool:
    """Whether `viewer` may look at the image by its id. Hidden ones are for those who control them."""
    return not record.hidden or controls(record.image, viewer)


def require_visible(record: ImageRecord, viewer: Viewer) -> None:
    """Raise ImageNotFound, as for an id that does not exist, unless `viewer` may look at the image."""
    if not may_see(record, viewer):
        raise ImageNotFound


def require_control(record: ImageRecord, viewer: Viewer) -> None:
    """Raise unless `viewer` may delete or verify the image: ImageNotFound, DeleteTokenRequired, InvalidDeleteToken."""
    if controls(record.image, viewer):
        return
    require_visible(record, viewer)
    raise DeleteTokenRequired if viewer.delete_token is None else InvalidDeleteToken
