"""Erasing everything, for whoever begins anew."""

from chitram.domain.blobs import BLOB_PREFIX, THUMBNAIL_PREFIX
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.unit_of_work import Database


class Erasure:
    def __init__(self, *, database: Database, blobs: BlobStore, cache: RecordCache) -> None:
        self._database = database
        self._blobs = blobs
        self._cache = cache

    async def erase_everything(self) -> tuple[int, int]:
        """Erase every row and then every object; how many images and files there were.

        The database keeps its identity, so that the store stays its own. Cut short, it leaves objects that no row
        names: doing it again erases these. ServiceUnavailable before anything is erased when the cache does not answer.
        """
        await self._cache.clear()  # no job of an erased database could tell a cache that is away
        async with self._database.begin() as work:
            images = await work.images.count()
            await work.rows.clear()
        await self._cache.clear()
        files = 0
        for prefix in (BLOB_PREFIX, THUMBNAIL_PREFIX):
            async for found in self._blobs.list(prefix):
                await self._blobs.erase(found.key)
                files += prefix == BLOB_PREFIX
        return images, files
