"""What became of uploads that carried an `Idempotency-Key`."""

from datetime import datetime
from typing import Protocol

from chitram.domain.idempotency import IdempotencyKey, IdempotencyRecord


class IdempotencyRepository(Protocol):
    async def hold(
        self, key: IdempotencyKey, *, holder: str, now: datetime, until: datetime, expires_at: datetime
    ) -> IdempotencyRecord:
        """Take the key for `holder` until the moment `until`, unless it is finished or somebody else holds it.

        What comes back is what is there now: held by `holder` when it was taken. A hold that ran out and a record that
        expired stand in nobody's way.
        """
        ...

    async def finish(self, key: IdempotencyKey, *, holder: str, fingerprint: str, image_id: str) -> bool:
        """Record what became of the upload; False when `holder` does not hold the key any more."""
        ...

    async def release(self, key: IdempotencyKey, *, holder: str) -> None:
        """Give up a hold, so that the upload can be tried again; a finished record stays."""
        ...

    async def remove_expired(self, *, now: datetime, limit: int) -> int: ...
