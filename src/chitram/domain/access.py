"""Who may do what to which image: the one place that decides it."""

import hmac
from dataclasses import dataclass, field

from chitram.domain.api_tokens import ALL_SCOPES, Scope, hash_secret
from chitram.domain.errors import (
    DeleteTokenRequired,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    Unauthorized,
)
from chitram.domain.images import Image, ImageRecord
from chitram.domain.sessions import Session
from chitram.domain.users import User


@dataclass(frozen=True, slots=True)
class Credential:
    """What an account acts with: one of its sessions or API tokens. It may end while a request is served."""

    user_id: str
    session_id: str | None = None
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever is asking: an account (`user`), signed in by `session` or by the API token `token_id` with `scopes`, or a
    stranger.

    A delete token may have been presented beside either. `address` is where the request came from.
    """

    user: User | None = None
    session: Session | None = None
    scopes: frozenset[Scope] = field(default=ALL_SCOPES)
    delete_token: str | None = None
    address: str = ""
    token_id: str | None = None

    @property
    def credential(self) -> Credential | None:
        """What they act with; None for strangers."""
        if self.user is None:
            return None
        return Credential(self.user.id, self.session.id if self.session else None, self.token_id)

    @property
    def user_id(self) -> str | None:
        return None if self.user is None else self.user.id

    @property
    def name(self) -> str | None:
        """How the audit log calls them."""
        return self.user.id if self.user is not None else "delete-token" if self.delete_token is not None else None

    def may(self, scope: Scope) -> bool:
        """Whether they are signed in with a credential for this."""
        return self.user is not None and scope in self.scopes


ANONYMOUS = Viewer()


def owns(image: Image, viewer: Viewer) -> bool:
    """Whether the image is the viewer's, whatever their credential is for."""
    return image.owner_id is not None and image.owner_id == viewer.user_id


def holds_delete_token(image: Image, viewer: Viewer) -> bool:
    """Whether the viewer presented the delete token of this image, which has no owner then."""
    if viewer.delete_token is None or image.delete_token_hash is None or image.owner_id is not None:
        return False
    return hmac.compare_digest(hash_secret(viewer.delete_token), image.delete_token_hash)


def controls(image: Image, viewer: Viewer, *, scope: Scope) -> bool:
    """Whether `viewer` may do to `image` what `scope` is for: as its owner, by its delete token, or as an admin."""
    if holds_delete_token(image, viewer):
        return True
    is_admin = viewer.user is not None and viewer.user.is_admin
    return (owns(image, viewer) or is_admin) and viewer.may(scope)


def may_see(record: ImageRecord, viewer: Viewer) -> bool:
    """Whether `viewer` may look at the image by its id. Hidden ones are for those alone whose they are."""
    if not record.hidden:
        return True
    return (owns(record.image, viewer) and viewer.may(Scope.READ)) or holds_delete_token(record.image, viewer)


def require_visible(record: ImageRecord, viewer: Viewer) -> None:
    """Raise ImageNotFound, as for an id that does not exist, unless `viewer` may look at the image."""
    if not may_see(record, viewer):
        raise ImageNotFound


def require_control(record: ImageRecord, viewer: Viewer, *, scope: Scope) -> None:
    """Raise unless `viewer` may do to the image what `scope` is for.

    ImageNotFound, Forbidden (it has an owner), DeleteTokenRequired, InvalidDeleteToken.
    """
    if controls(record.image, viewer, scope=scope):
        return
    if not owns(record.image, viewer):
        require_visible(record, viewer)
    _refuse(record.image, viewer, scope=scope)


def require_owner(record: ImageRecord, viewer: Viewer, *, scope: Scope) -> None:
    """Raise unless the image is the viewer's own and they may do what `scope` is for. Errors as in require_control."""
    require_visible(record, viewer)
    if not owns(record.image, viewer):
        raise Forbidden
    require_scope(viewer, scope)


def require_user(viewer: Viewer, *, scope: Scope) -> User:
    """The viewer's account. Unauthorized without one, Forbidden when their token is not for this."""
    if viewer.user is None:
        raise Unauthorized
    require_scope(viewer, scope)
    return viewer.user


def require_session(viewer: Viewer) -> tuple[User, Session]:
    """The viewer's account, signed in with its password. Unauthorized; Forbidden for API tokens."""
    if viewer.user is None:
        raise Unauthorized
    if viewer.session is None:
        raise Forbidden("API tokens cannot change the account itself; sign in for that.")
    return viewer.user, viewer.session


def require_scope(viewer: Viewer, scope: Scope) -> None:
    """Raise Forbidden when the viewer's credential is not for this."""
    if scope not in viewer.scopes:
        raise Forbidden("This API token is not for that.", details={"required_scope": scope.value})


def _refuse(image: Image, viewer: Viewer, *, scope: Scope) -> None:
    if owns(image, viewer):
        require_scope(viewer, scope)
    if viewer.delete_token is not None:
        raise InvalidDeleteToken
    raise DeleteTokenRequired if image.owner_id is None and image.delete_token_hash is not None else Forbidden
