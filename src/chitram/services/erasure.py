"""Erasing everything, for whoever begins anew."""

from chitram.domain.blobs import BLOB_PREFIX, THUMBNAIL_PREFIX
from chitram.ports.blobs import BlobStore
from chitram.ports.cache import RecordCache
from chitram.ports.repositories.rows import Row
from chitram.ports.unit_of_work import Database

BATCH = 500


class Erasure:
    def __init__(self, *, database: Database, blobs: BlobStore, cache: RecordCache) -> None:
        self._database = database
        self._blobs = blobs
        self._cache = cache

    async def erase_everything(self) -> tuple[int, int]:
        """Erase every row and then every object; how many images and files there were.

        The database keeps its identity, so that the store stays its own. Cut short, it leaves objects that no row
        names: doing it again erases these.
        """
        images = await self._image_ids()
        async with self._database.begin() as work:
            await work.rows.clear()
        await self._cache.invalidate(images)
        files = 0
        for prefix in (BLOB_PREFIX, THUMBNAIL_PREFIX):
            async for found in self._blobs.list(prefix):
                await self._blobs.erase(found.key)
                files += prefix == BLOB_PREFIX
        return len(images), files

    async def _image_ids(self) -> list[str]:
        ids: list[str] = []
        last: Row | None = None
        async with self._database.read() as view:
            while rows := await view.rows.page("images", after=last, limit=BATCH):
                ids += [str(row["id"]) for row in rows]
                last = rows[-1]
        return ids
