"""What the bytes door needs of the services."""

from collections.abc import Mapping
from typing import Protocol

from chitram.domain.access import Viewer
from chitram.domain.images import ImageRecord
from chitram.entrypoints.support.asgi import Scope
from chitram.ports.blobs import OpenBlob


class Found(Protocol):
    """An image that the viewer may see. `cache` is HIT, MISS or DISABLED."""

    @property
    def record(self) -> ImageRecord: ...

    @property
    def cache(self) -> str: ...


class Gate(Protocol):
    async def identify(self, scope: Scope, query: Mapping[str, str]) -> Viewer:
        """The viewer whose credentials the request carries. Unauthorized, TokenExpired."""
        ...


class Images(Protocol):
    async def find(self, image_id: str, *, viewer: Viewer) -> Found:
        """The image; ImageNotFound when there is none for this viewer."""
        ...

    async def open_original(self, record: ImageRecord) -> OpenBlob:
        """The stored bytes; StorageUnavailable when they cannot be had."""
        ...


class Thumbnails(Protocol):
    async def read(self, record: ImageRecord, *, size: int) -> bytes:
        """The encoded thumbnail; ThumbnailNotReady while there is none."""
        ...
