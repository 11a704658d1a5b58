"""Images, and the lists of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from chitram.domain.images import Image, ImageRecord, Order, Visibility
from chitram.domain.users import Quota


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list: that of the image with this `id`. `key` is what the list is sorted by: the moment of the
    upload, the image's name, or its size in bytes.
    """

    key: datetime | str | int
    id: str

    @classmethod
    def of(cls, record: ImageRecord, *, order: Order = Order.NEWEST) -> Self:
        """Where the image stands in a list of this order."""
        if order is Order.NAME:
            return cls(record.image.name, record.image.id)
        return cls(record.blob.size if order is Order.SIZE else record.image.created_at, record.image.id)


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that looks like another one. `distance`: differing bits of the perceptual hashes, 0 to 64."""

    record: ImageRecord
    distance: int


@dataclass(frozen=True, slots=True)
class Miscount:
    """An account whose counters are not the sum over its images."""

    user_id: str
    counted: Quota
    found: Quota


class ImageRepository(Protocol):
    async def add(self, image: Image) -> None: ...

    async def lock(self, image_id: str) -> Image | None:
        """The image, under its row lock."""
        ...

    async def get(self, image_id: str) -> ImageRecord | None: ...

    async def remove(self, image_id: str) -> None: ...

    async def update(self, image: Image) -> None:
        """Record the image's owner, delete token, visibility, title and description as they are in `image`."""
        ...

    async def disown(self, owner_id: str) -> Sequence[str]:
        """Leave every image of the owner without one, and without a delete token; their ids."""
        ...

    async def remove_owned(self, owner_id: str, *, visibility: Visibility | None = None) -> Sequence[tuple[str, int]]:
        """Remove the owner's images, or those of this visibility, in one statement: their ids and their blobs' ids."""
        ...

    async def twin(self, owner_id: str, *, blob_id: int) -> str | None:
        """The id of the owner's oldest image of this blob."""
        ...

    async def ids_of_blob(self, blob_id: int) -> Sequence[str]: ...

    async def list_public(self, *, after: Position | None, limit: int) -> Sequence[ImageRecord]:
        """Public images whose blob is not broken, newest first, then by id."""
        ...

    async def list_owned(
        self,
        owner_id: str,
        *,
        after: Position | None,
        limit: int,
        order: Order = Order.NEWEST,
        name: str | None = None,
    ) -> Sequence[ImageRecord]:
        """Every image of the owner in the order, then by id; with `name` only those whose title or file name contains
        it, whatever its case. `after` is a position of the same order.
        """
        ...

    async def similar(
        self, perceptual_hash: int, *, distance: int, exclude: str, limit: int, owner_id: str | None = None
    ) -> Sequence[Similar]:
        """Images within `distance` (0 to 16) bits, nearest first, without `exclude`: public ones, and those of the
        owner. Indexed, exact.
        """
        ...

    async def count(self) -> int: ...

    async def any(self) -> bool:
        """Whether there is one at all. Quick, however many there are."""
        ...

    async def miscounts(self) -> Sequence[Miscount]:
        """Accounts that are charged other bytes or files than their images have, by id. Walks over all of both."""
        ...
