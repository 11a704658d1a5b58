"""Images: what a person uploaded and may look at, share and delete. Several images may share one blob."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from chitram.domain.blobs import Blob

ID_LENGTH = 11
MAX_TITLE = 200
MAX_DESCRIPTION = 5000
ID_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID = re.compile(rf"[{ID_ALPHABET}]{{{ID_LENGTH}}}", re.ASCII)


class Visibility(StrEnum):
    """PUBLIC images are listed, UNLISTED ones are for whoever has the link, PRIVATE ones for their owner alone."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    PRIVATE = "private"


class Order(StrEnum):
    """How a list of images is sorted; images that are equal in it stand in the order of their ids.

    NAME is by what an image is called, from A to Z whatever the case of its letters, SIZE begins with the largest.
    """

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    SIZE = "size"


def is_image_id(text: str) -> bool:
    """Whether `text` has the form of an image id: 11 base62 characters."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Image:
    """One upload. `received_sha256` is of the bytes as they arrived, metadata included; it stays private.

    One with an owner has no delete token; one without either is in the hands of admins alone.
    """

    id: str
    blob_id: int
    filename: str
    visibility: Visibility
    created_at: datetime
    delete_token_hash: str | None
    received_sha256: str
    owner_id: str | None = None
    title: str | None = None
    description: str | None = None

    @property
    def name(self) -> str:
        """What people know it by: its title, or else its file's name."""
        return self.title or self.filename


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image with the blob that it names: all that is needed to answer for it."""

    image: Image
    blob: Blob

    @property
    def version(self) -> str:
        """The content version that URLs carry: the first 8 hex digits of the stored hash."""
        return self.blob.sha256[:8]

    @property
    def hidden(self) -> bool:
        """Whether it is for those alone who control it: a private image, or one whose file turned out to be broken."""
        return self.image.visibility is Visibility.PRIVATE or self.blob.broken_reason is not None


@dataclass(frozen=True, slots=True)
class Edit:
    """What the owner wants to have changed; what is not in `changed` (names of the other fields) stays as it is."""

    changed: frozenset[str]
    visibility: Visibility = Visibility.UNLISTED
    title: str | None = None
    description: str | None = None

    def apply(self, image: Image) -> Image:
        """The image as it is to be."""
        return replace(image, **{name: getattr(self, name) for name in self.changed})
