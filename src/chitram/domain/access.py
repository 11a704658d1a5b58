"""Who may do what to which image: the one place that decides it."""

import hashlib
import hmac
from dataclasses import dataclass

from chitram.domain.errors import DeleteTokenRequired, ImageNotFound, InvalidDeleteToken
from chitram.domain.images import Image, Visibility


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever is asking. Everybody is anonymous so far; a delete token may have been presented."""

    delete_token: str | None = None


ANONYMOUS = Viewer()


def hash_delete_token(token: str) -> str:
    """The form in which a delete token is stored: SHA-256, hex. The token has 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def may_see(image: Image, viewer: Viewer) -> bool:
    """Whether `viewer` may look at `image` by its id."""
    return image.visibility is not Visibility.PRIVATE


def require_visible(image: Image, viewer: Viewer) -> None:
    """Raise ImageNotFound, as for an id that does not exist, unless `viewer` may look at `image`."""
    if not may_see(image, viewer):
        raise ImageNotFound


def require_control(image: Image, viewer: Viewer) -> None:
    """Raise unless `viewer` may delete or verify `image`: DeleteTokenRequired, InvalidDeleteToken."""
    require_visible(image, viewer)
    if viewer.delete_token is None or image.delete_token_hash is None:
        raise DeleteTokenRequired
    if not hmac.compare_digest(hash_delete_token(viewer.delete_token), image.delete_token_hash):
        raise InvalidDeleteToken
