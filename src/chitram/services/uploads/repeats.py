"""Uploads that are sent again with the same `Idempotency-Key`."""

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from chitram.domain.api_tokens import hash_secret
from chitram.domain.errors import (
    ChitramError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ImageNotFound,
)
from chitram.domain.idempotency import KEPT_FOR, IdempotencyKey, IdempotencyRecord
from chitram.domain.uploads import UploadDetails, Uploaded
from chitram.ports.clock import Clock, Identifiers
from chitram.ports.unit_of_work import Database


@dataclass(frozen=True, slots=True)
class Hold:
    """A key that is ours for now, or one whose upload is `finished`."""

    key: IdempotencyKey
    holder: str
    finished: IdempotencyRecord | None


class Repeats:
    """`secrets`: what delete tokens are derived with, today's first. `hold_for`: life of a hold that nobody renews."""

    def __init__(
        self,
        *,
        secrets: Sequence[bytes],
        hold_for: timedelta,
        database: Database,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        self._secrets = tuple(secrets)
        self._hold_for = hold_for
        self._database = database
        self._clock = clock
        self._identifiers = identifiers

    @asynccontextmanager
    async def hold(self, key: IdempotencyKey) -> AsyncIterator[Hold]:
        """Hold the key while an upload is worked on; what was not finished can be tried again. IdempotencyKeyInUse."""
        holder = self._identifiers.session_id()
        record = await self._take(key, holder=holder)
        if record.image_id is not None:
            yield Hold(key, record.holder, record)
            return
        if record.holder != holder:
            raise IdempotencyKeyInUse
        renewal = asyncio.create_task(self._renew(key, holder=holder))
        try:
            yield Hold(key, holder, None)
        finally:
            renewal.cancel()
            await asyncio.wait([renewal])
            # What was finished stays. A hold that cannot be given up now ends by itself.
            with contextlib.suppress(ChitramError):
                async with self._database.begin() as work:
                    await work.idempotency.release(key, holder=holder)

    async def _take(self, key: IdempotencyKey, *, holder: str) -> IdempotencyRecord:
        now = self._clock.now()
        async with self._database.begin() as work:
            return await work.idempotency.hold(
                key, holder=holder, now=now, until=now + self._hold_for, expires_at=now + KEPT_FOR
            )

    async def _renew(self, key: IdempotencyKey, *, holder: str) -> None:
        """Holds are short, so that a client need not wait long when the process dies that held its key."""
        while True:
            await asyncio.sleep(self._hold_for.total_seconds() / 3)
            with contextlib.suppress(ChitramError):
                await self._take(key, holder=holder)

    def delete_token(self, key: IdempotencyKey, *, image_id: str) -> str:
        """The delete token of a new image that is uploaded with this key."""
        return key.delete_token(image_id, secret=self._secrets[0])

    async def replay(self, hold: Hold, *, fingerprint: str, owner_id: str | None) -> Uploaded:
        """What was answered to the upload that this one repeats. `owner_id`: whose image it was to be.

        IdempotencyKeyReused when it is another one, ImageNotFound when its image has been deleted or claimed since.
        """
        record = hold.finished
        assert record is not None
        assert record.image_id is not None
        assert record.fingerprint is not None
        if not hmac.compare_digest(record.fingerprint, fingerprint):
            raise IdempotencyKeyReused
        async with self._database.read() as repositories:
            found = await repositories.images.get(record.image_id)
            # One that was claimed may be private now, and is none of the uploader's business.
            if found is None or found.image.owner_id != owner_id:
                raise ImageNotFound("The image of this upload has been deleted or claimed since.")
            twin = await repositories.images.twin(owner_id, blob_id=found.blob.id) if owner_id is not None else None
        tokens = [hold.key.delete_token(found.image.id, secret=secret) for secret in self._secrets]
        token = next((each for each in tokens if hash_secret(each) == found.image.delete_token_hash), None)
        return Uploaded(found, token, duplicate_of=None if twin == found.image.id else twin)


def fingerprint(received_sha256: str, details: UploadDetails) -> str:
    """What has to be the same for an upload to be a repetition: the bytes, the name and the wishes."""
    parts = (received_sha256, details.filename or "", details.visibility.value if details.visibility else "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
