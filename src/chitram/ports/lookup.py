"""The hot look-up: what is needed to answer for one image, by its id."""

from typing import Protocol

from chitram.domain.images import ImageRecord


class Lookup(Protocol):
    async def find(self, image_id: str) -> ImageRecord | None:
        """The image with its blob, as last committed; ServiceUnavailable when the database cannot answer."""
        ...
