"""Leases: of many holders one."""

from chitram.adapters.db.unit_of_work import SqlDatabase
from tests.factories.rows import later


async def acquire(database: SqlDatabase, holder: str, *, at: float, name: str = "collect") -> bool:
    async with database.begin() as work:
        return await work.leases.acquire(name, holder=holder, now=later(at), until=later(at + 10))


async def test_one_holder_at_a_time(database):
    assert await acquire(database, "a", at=0)
    assert not await acquire(database, "b", at=9)
    assert await acquire(database, "b", at=9, name="verify")


async def test_the_holder_may_prolong_it(database):
    assert await acquire(database, "a", at=0)
    assert await acquire(database, "a", at=9)
    assert not await acquire(database, "b", at=18)


async def test_it_runs_out(database):
    assert await acquire(database, "a", at=0)
    assert await acquire(database, "b", at=10)
    assert not await acquire(database, "a", at=11)


async def test_only_the_holder_releases_it(database):
    assert await acquire(database, "a", at=0)
    async with database.begin() as work:
        await work.leases.release("collect", holder="b")
    assert not await acquire(database, "b", at=1)
    async with database.begin() as work:
        await work.leases.release("collect", holder="a")
    assert await acquire(database, "b", at=1)
