"""Caches in front of us, which have to forget what we change."""

from collections.abc import Collection
from typing import Protocol


class Purge(Protocol):
    async def purge(self, image_ids: Collection[str]) -> None:
        """When this returns, no cache in front of us hands on what it knew of these images before the call."""
        ...
