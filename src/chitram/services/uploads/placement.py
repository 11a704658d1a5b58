"""Getting an upload's bytes into the store, where somebody else may have put them before."""

import asyncio
import contextlib
from dataclasses import dataclass, replace

from chitram.domain.blobs import Blob, NewBlob, thumbnail_keys, thumbnail_prefix
from chitram.domain.errors import ChitramError
from chitram.domain.media import PIPELINE_VERSION, Rendered
from chitram.ports.blobs import BlobStore
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.staging import StagedFile
from chitram.ports.unit_of_work import Database


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the bytes are: in `known`, a blob that was there before, or in `fresh`, a new generation of ours.

    Both are set when `known` lost its bytes and `fresh` heals it.
    """

    known: Blob | None
    fresh: NewBlob | None
    thumbnails_added: bool


class Placement:
    def __init__(self, *, database: Database, blobs: BlobStore, clock: Clock, identifiers: Identifiers) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._identifiers = identifiers
        #: Seconds that a put has taken of late.
        self._usual_put = 0.0

    async def put(self, stored: StagedFile, new: NewBlob, rendered: Rendered | None) -> Kept:
        """Make sure that the bytes are in the store, verified there when another upload had brought them."""
        async with self._database.read() as repositories:
            known = await repositories.blobs.find(new.sha256)
        if known is not None and known.corrupt_at is None:
            found = await self._blobs.head(known.key)
            if found is not None and found.size == new.size:
                # Whether somebody here has these bytes is nobody's business: a hit takes as long as a put.
                await asyncio.sleep(self._usual_put)
                lacking = known.pipeline_version < PIPELINE_VERSION
                added = lacking and await self._add_thumbnails(known, rendered)
                return Kept(known, None, thumbnails_added=added)
        fresh = replace(new, generation=self._identifiers.generation())
        return Kept(known, fresh, thumbnails_added=await self._put_fresh(fresh.key, stored, rendered))

    async def give_up(self, key: str) -> None:
        """Erase what no row will name; what cannot be erased now is left to a sweeper."""
        with contextlib.suppress(ChitramError):
            await self.erase(key)

    async def erase(self, key: str) -> None:
        """Erase an original and its thumbnails."""
        await self._blobs.erase_prefix(thumbnail_prefix(key))
        await self._blobs.erase(key)

    async def _put_fresh(self, key: str, stored: StagedFile, rendered: Rendered | None) -> bool:
        """Put original and thumbnails; whether the thumbnails are there too. A failure leaves nothing behind."""
        begun = self._clock.monotonic()
        # Both are waited for also when one fails: a put must not read a staged file that is gone.
        original, thumbnails = await asyncio.gather(
            self._blobs.put(key, stored), self._put_thumbnails(key, rendered), return_exceptions=True
        )
        for outcome in (original, thumbnails):
            if isinstance(outcome, BaseException):
                await self.give_up(key)
                raise outcome
        self._usual_put += (self._clock.monotonic() - begun - self._usual_put) / 8
        return thumbnails is True

    async def _add_thumbnails(self, known: Blob, rendered: Rendered | None) -> bool:
        """Put the thumbnails that `known` lacks, or none where it was collected meanwhile; whether they are there."""
        added = await self._put_thumbnails(known.key, rendered)
        async with self._database.read() as repositories:
            current = await repositories.blobs.get(known.id)
        if not known.is_kept_as(current):
            await self._blobs.erase_prefix(thumbnail_prefix(known.key))
        return added

    async def _put_thumbnails(self, key: str, rendered: Rendered | None) -> bool:
        """Whether all thumbnails are stored. Ones that cannot be are left to a job: they never cost the original."""
        if rendered is None:
            return False
        puts = [
            self._blobs.put_disposable(name, rendered.thumbnails[size]) for size, name in thumbnail_keys(key).items()
        ]
        results = await asyncio.gather(*puts, return_exceptions=True)
        return not any(isinstance(result, BaseException) for result in results)
