"""Blobs: stored bytes, named by their hash, shared by every image that has the same bytes."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chitram.domain.media import PIPELINE_VERSION, THUMBNAIL_SIZES

BLOB_PREFIX = "blobs/"
THUMBNAIL_PREFIX = "thumbs/"
#: The lease of whoever copies all objects: while it is held, none of them is erased.
ERASING_HELD = "hold:erasing"


class BlobState(StrEnum):
    """A blob is LIVE, then CONDEMNED when no image names it any more, then ERASING, which nothing turns back."""

    LIVE = "live"
    CONDEMNED = "condemned"
    ERASING = "erasing"


def blob_key(*, sha256: str, generation: str) -> str:
    """Where an original lies in the store: `blobs/<first two hex digits>/<sha256>.<generation>`."""
    return f"{BLOB_PREFIX}{sha256[:2]}/{sha256}.{generation}"


_BLOB_KEY = re.compile(r"blobs/([0-9a-f]{2})/\1[0-9a-f]{62}\.[0-9a-f]{1,32}", re.ASCII)


def is_blob_key(text: str) -> bool:
    """Whether `text` has the form of an original's key: whatever else lies in a store is not ours to erase."""
    return _BLOB_KEY.fullmatch(text) is not None


def thumbnail_prefix(key: str) -> str:
    """Everything derived from the blob at `key` lies below this prefix."""
    return f"{THUMBNAIL_PREFIX}{key}/"


def thumbnail_key(key: str, *, size: int, version: int = PIPELINE_VERSION) -> str:
    """Where the thumbnail of `size` pixels of the blob at `key` lies."""
    return f"{thumbnail_prefix(key)}{version}/{size}"


def thumbnail_keys(key: str) -> dict[int, str]:
    """Size → key of every thumbnail that the present pipeline makes of the blob at `key`."""
    return {size: thumbnail_key(key, size=size) for size in THUMBNAIL_SIZES}


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A blob that is about to be recorded: its object is in the store already.

    The fields of the decode are None until it was done (background mode).
    """

    sha256: str
    generation: str
    size: int
    content_type: str
    width: int
    height: int
    created_at: datetime
    thumbnail_type: str | None = None
    perceptual_hash: int | None = None
    placeholder: str | None = None

    @property
    def key(self) -> str:
        return blob_key(sha256=self.sha256, generation=self.generation)


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes. `size` in bytes; `perceptual_hash` 64 bits, unsigned; `placeholder` a thumbhash in base64.

    `pipeline_version` is that of the stored thumbnails, 0 while there are none. `broken_reason` is set when the decode
    pass of background mode found that the file cannot be decoded. `corrupt_at` is set when the stored bytes were found
    to differ from their hash; such bytes are never served.
    """

    id: int
    sha256: str
    generation: str
    size: int
    content_type: str
    width: int
    height: int
    state: BlobState
    thumbnail_type: str | None
    pipeline_version: int
    perceptual_hash: int | None
    placeholder: str | None
    broken_reason: str | None
    created_at: datetime
    verified_at: datetime | None
    condemned_at: datetime | None
    corrupt_at: datetime | None

    @property
    def key(self) -> str:
        return blob_key(sha256=self.sha256, generation=self.generation)

    @property
    def thumbnail_ready(self) -> bool:
        return self.pipeline_version > 0

    def is_kept_as(self, current: "Blob | None") -> bool:
        """Whether its row, `current` as of now, still stands for the same object: not erased, nor healed by another."""
        return current is not None and current.state is not BlobState.ERASING and current.generation == self.generation
