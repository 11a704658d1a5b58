"""An upload: what the client says of its file, and what becomes of it."""

from dataclasses import dataclass

from chitram.domain.access import Credential
from chitram.domain.images import ImageRecord, Visibility


@dataclass(frozen=True, slots=True)
class DeclaredDigest:
    """The SHA-256, hex, that the bytes of the file as sent have, as a header field says."""

    field: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """What the client said about its file. `owner` is what the account acts with that it goes into, None for a
    stranger's.
    """

    filename: str | None = None
    declared_type: str | None = None
    declared_digest: DeclaredDigest | None = None
    visibility: Visibility | None = None
    owner: Credential | None = None

    @property
    def owner_id(self) -> str | None:
        """The account's id."""
        return None if self.owner is None else self.owner.user_id


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`delete_token` is shown once, here, for images without an owner; only its hash is kept. `duplicate_of`: the id of
    an earlier image of the same account with the same bytes.
    """

    record: ImageRecord
    delete_token: str | None
    duplicate_of: str | None = None
