"""The pool that hashes passwords: its bounds, its end, its work."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable

import bcrypt
import pytest

from chitram.adapters.security import passwords as module
from chitram.adapters.security.passwords import NICENESS, BcryptPasswords, read_blocklist
from chitram.domain.errors import ServiceUnavailable


@pytest.fixture
async def pool() -> AsyncIterator[BcryptPasswords]:
    made = BcryptPasswords(rounds=4, threads=1, max_waiting=2)
    yield made
    made.close()


class Gate:
    """Holds the threads of a pool in the middle of their work."""

    def __init__(self, pool: BcryptPasswords) -> None:
        self.opened = threading.Event()
        self.reached = threading.Semaphore(0)
        self._pool = pool

    def _pass(self) -> str:
        self.reached.release()
        self.opened.wait(30)
        return "done"

    async def occupy(self) -> "asyncio.Task[str]":
        task = asyncio.create_task(self._pool._run(self._pass))
        await asyncio.to_thread(self.reached.acquire)
        return task


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def waiting(pool: BcryptPasswords, number: int) -> list["asyncio.Task[str]"]:
    before = pool.taken
    tasks = [asyncio.create_task(pool.hash("correct horse")) for _ in range(number)]
    await settled(lambda: pool.taken == before + number)
    return tasks


async def test_who_comes_when_all_places_are_taken_is_told_to_come_again(pool: BcryptPasswords):
    gate = Gate(pool)
    held = await gate.occupy()
    tasks = await waiting(pool, 2)
    for refused in (pool.hash("x"), pool.verify("x", password_hash=None)):
        with pytest.raises(ServiceUnavailable) as caught:
            await refused
        assert caught.value.retry_after == 1
    gate.opened.set()
    assert await held == "done"
    assert all(hashed.startswith("$2b$04$") for hashed in await asyncio.gather(*tasks))
    await settled(lambda: pool.taken == 0)
    assert await pool.verify("x", password_hash=None) is False


async def test_who_gives_up_while_waiting_leaves_the_place_to_others(pool: BcryptPasswords):
    gate = Gate(pool)
    held = await gate.occupy()
    for _ in range(50):
        tasks = await waiting(pool, 2)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert pool.taken == 1
    gate.opened.set()
    assert await held == "done"
    await settled(lambda: pool.taken == 0)


async def test_who_gives_up_in_the_middle_keeps_the_place_until_the_work_is_done(pool: BcryptPasswords):
    gate = Gate(pool)
    held = await gate.occupy()
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert pool.taken == 1
    gate.opened.set()
    await settled(lambda: pool.taken == 0)


async def test_failing_work_gives_its_place_back(pool: BcryptPasswords):
    with pytest.raises(ZeroDivisionError):
        await pool._run(lambda: 1 // 0)
    await settled(lambda: pool.taken == 0)


async def test_the_wait_that_is_asked_for_grows_with_the_work():
    waits = []
    for rounds, threads, places in ((12, 1, 7), (12, 2, 6), (14, 1, 7)):
        made = BcryptPasswords(rounds=rounds, threads=threads, max_waiting=places)
        made.close()
        with pytest.raises(ServiceUnavailable) as caught:
            await made.hash("x")
        waits.append(caught.value.retry_after)
    assert waits == [2, 1, 8]


async def test_the_end_finishes_what_runs_and_refuses_what_waits():
    pool = BcryptPasswords(rounds=4, threads=1, max_waiting=3)
    gate = Gate(pool)
    held = await gate.occupy()
    tasks = await waiting(pool, 2)
    (leaving,) = await waiting(pool, 1)
    closing = threading.Thread(target=pool.close)
    leaving.cancel()
    closing.start()
    while pool.taken > 1:  # Nobody may hear of anything before the pool is closed.
        time.sleep(0.001)
    results = await asyncio.gather(*tasks, leaving, return_exceptions=True)
    assert [type(result) for result in results] == [ServiceUnavailable, ServiceUnavailable, asyncio.CancelledError]
    gate.opened.set()
    assert await held == "done"
    closing.join()
    with pytest.raises(ServiceUnavailable):
        await pool.hash("x")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("passwords")]


async def test_hashing_gives_way_to_everything_else(pool: BcryptPasswords):
    def priority() -> tuple[int, int]:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), threading.get_native_id()

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    theirs, thread = await pool._run(priority)
    assert theirs == max(NICENESS, ours)
    assert thread != threading.get_native_id()
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of every hash that the library is asked for."""
    done: list[int] = []
    make = bcrypt.hashpw
    check = bcrypt.checkpw

    def hashpw(password: bytes, salt: bytes) -> bytes:
        done.append(int(salt[4:6]))
        return make(password, salt)

    def checkpw(password: bytes, hashed: bytes) -> bool:
        done.append(int(hashed[4:6]))
        return check(password, hashed)

    monkeypatch.setattr(module.bcrypt, "hashpw", hashpw)
    monkeypatch.setattr(module.bcrypt, "checkpw", checkpw)
    return done


async def test_wrong_passwords_cost_the_same_whoever_they_are_for(costs: list[int]):
    older = BcryptPasswords(rounds=4, threads=1, max_waiting=2)
    newer = BcryptPasswords(rounds=7, threads=1, max_waiting=2)
    stored = [None, "malformed", await older.hash("right"), await newer.hash("right")]
    work = []
    for password_hash in stored:
        costs.clear()
        assert await newer.verify("wrong", password_hash=password_hash) is False
        work.append(sum(2**cost for cost in costs))
    older.close()
    newer.close()
    assert work == [2**7] * 4
    assert newer.is_outdated(str(stored[2]))
    assert not newer.is_outdated(str(stored[3]))


async def test_a_right_password_with_an_old_hash_costs_what_its_hash_does(costs: list[int]):
    older = BcryptPasswords(rounds=4, threads=1, max_waiting=2)
    newer = BcryptPasswords(rounds=7, threads=1, max_waiting=2)
    stored = await older.hash("right")
    costs.clear()
    assert await newer.verify("right", password_hash=stored)
    older.close()
    newer.close()
    assert costs == [4]


def test_a_blocklist_is_a_file_of_lines(tmp_path):
    path = tmp_path / "passwords.txt"
    path.write_bytes(b"\xef\xbb\xbf123456\r\n\npassword\n \n#1 with space \nlatin-\xe9\nlast\x0bone")
    words = read_blocklist(path)
    assert {"123456", "password", "#1 with space ", "last\x0bone"} < words
    assert len(words) == 5
    pool = BcryptPasswords(rounds=4, threads=1, max_waiting=0, blocklist=words)
    assert [pool.is_known(word) for word in ("123456", "", " ", "latin-é")] == [True, False, False, False]
    pool.close()
    with pytest.raises(OSError, match="missing"):
        read_blocklist(tmp_path / "missing")
