"""Transactions: the only place that commits, and what happens after a commit."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy import select

from chitram.adapters.db.api_tokens import SqlApiTokenRepository
from chitram.adapters.db.blobs import SqlBlobRepository
from chitram.adapters.db.cancellation import uninterrupted
from chitram.adapters.db.failures import unavailable
from chitram.adapters.db.idempotency import SqlIdempotencyRepository
from chitram.adapters.db.images import SqlImageRepository
from chitram.adapters.db.invites import SqlInviteRepository
from chitram.adapters.db.jobs import SqlJobRepository
from chitram.adapters.db.leases import SqlLeaseRepository
from chitram.adapters.db.rows import SqlRowRepository
from chitram.adapters.db.sessions import SqlSessionRepository
from chitram.adapters.db.statements import Connections, Statements, Transaction
from chitram.adapters.db.tables import identity
from chitram.adapters.db.users import SqlUserRepository
from chitram.ports.unit_of_work import Effect, Repositories, UnitOfWork

log = logging.getLogger(__name__)

#: How long one after-commit effect may take, in seconds.
EFFECT_TIMEOUT = 5.0


class SqlRepositories:
    """ports.unit_of_work.Repositories on one transaction."""

    def __init__(self, statements: Statements) -> None:
        self.blobs = SqlBlobRepository(statements)
        self.images = SqlImageRepository(statements)
        self.jobs = SqlJobRepository(statements)
        self.leases = SqlLeaseRepository(statements)
        self.users = SqlUserRepository(statements)
        self.sessions = SqlSessionRepository(statements)
        self.api_tokens = SqlApiTokenRepository(statements)
        self.invites = SqlInviteRepository(statements)
        self.idempotency = SqlIdempotencyRepository(statements)
        self.rows = SqlRowRepository(statements)


class SqlUnitOfWork(SqlRepositories):
    """ports.unit_of_work.UnitOfWork. `effects`: where after-commit effects are collected."""

    def __init__(self, statements: Statements, *, effects: list[Effect]) -> None:
        super().__init__(statements)
        self._effects = effects

    def after_commit(self, effect: Effect) -> None:
        self._effects.append(effect)


class SqlDatabase:
    """ports.unit_of_work.Database over the connections to one database, whichever it is.

    `on_effect_failure` hears of each effect that failed; `effect_timeout`: what one may take, in seconds.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        on_effect_failure: Callable[[BaseException], None] | None = None,
        effect_timeout: float = EFFECT_TIMEOUT,
    ) -> None:
        self._connections = connections
        self._on_effect_failure = on_effect_failure
        self._effect_timeout = effect_timeout

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """A transaction: commits when the block ends normally, rolls back when it raises."""
        transaction = await self._connections.begin()
        effects: list[Effect] = []
        try:
            yield SqlUnitOfWork(transaction, effects=effects)
        except BaseException:
            await uninterrupted(transaction.rollback())
            raise
        await uninterrupted(self._complete(transaction, effects=effects))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Repositories]:
        """A read-only view of one moment; nothing can be written through it."""
        transaction = await self._connections.view()
        try:
            yield SqlRepositories(transaction)
        finally:
            await uninterrupted(transaction.rollback())

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and takes changes."""
        await self._connections.check()

    async def identity(self) -> str:
        """The random name that this database got when it was made."""
        transaction = await self._connections.view()
        try:
            row = await transaction.first(select(identity.c.id))
        finally:
            await uninterrupted(transaction.rollback())
        if row is None:
            raise unavailable()
        return str(row[0])

    async def aclose(self) -> None:
        """Wait for what is running, then close every connection."""
        await uninterrupted(self._connections.aclose())

    async def _complete(self, transaction: Transaction, *, effects: list[Effect]) -> None:
        await transaction.commit()
        for effect in effects:
            await self._run_effect(effect)

    async def _run_effect(self, effect: Effect) -> None:
        try:
            async with asyncio.timeout(self._effect_timeout):
                await effect()
        except Exception as error:
            # The change is committed: nothing that fails now may look like its failure.
            log.exception("An after-commit effect failed; a sweeper will make up for it.")
            if self._on_effect_failure is not None:
                self._on_effect_failure(error)
