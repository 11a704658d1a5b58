"""Transactions and the repositories that live in them."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chitram.ports.repositories.api_tokens import ApiTokenRepository
from chitram.ports.repositories.blobs import BlobRepository
from chitram.ports.repositories.idempotency import IdempotencyRepository
from chitram.ports.repositories.images import ImageRepository
from chitram.ports.repositories.invites import InviteRepository
from chitram.ports.repositories.jobs import JobRepository
from chitram.ports.repositories.leases import LeaseRepository
from chitram.ports.repositories.rows import RowRepository
from chitram.ports.repositories.sessions import SessionRepository
from chitram.ports.repositories.users import UserRepository

Effect = Callable[[], Awaitable[None]]


class Repositories(Protocol):
    @property
    def blobs(self) -> BlobRepository: ...

    @property
    def images(self) -> ImageRepository: ...

    @property
    def jobs(self) -> JobRepository: ...

    @property
    def leases(self) -> LeaseRepository: ...

    @property
    def users(self) -> UserRepository: ...

    @property
    def sessions(self) -> SessionRepository: ...

    @property
    def api_tokens(self) -> ApiTokenRepository: ...

    @property
    def invites(self) -> InviteRepository: ...

    @property
    def idempotency(self) -> IdempotencyRepository: ...

    @property
    def rows(self) -> RowRepository: ...


class UnitOfWork(Repositories, Protocol):
    def after_commit(self, effect: Effect) -> None:
        """Run `effect` after the commit; never when it is rolled back. A failing one is only logged."""
        ...


class Database(Protocol):
    """Every method raises ServiceUnavailable when there is no answer in time, StorageFull when there is no room."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A transaction: commits when the block ends normally, rolls back when it raises."""
        ...

    def read(self) -> AbstractAsyncContextManager[Repositories]:
        """A read-only view; nothing can be written through it."""
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers."""
        ...

    async def identity(self) -> str:
        """The random name that this database got when it was made; stores keep it to recognise their owner."""
        ...
