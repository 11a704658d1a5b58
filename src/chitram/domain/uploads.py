"""An upload: what the client says of its file, and what becomes of it."""

from dataclasses import dataclass

from chitram.domain.images import ImageRecord, Visibility


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """What the client said about its file. `declared_sha256` is of the bytes as sent, hex."""

    filename: str | None = None
    declared_type: str | None = None
    declared_sha256: str | None = None
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`delete_token` is shown once, here; only its hash is kept."""

    record: ImageRecord
    delete_token: str | None
