"""The shared cache: nothing stale whatever becomes of Redis, and nothing in it that must not be there."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.adapters.memory.clock import ManualClock, SystemClock
from chitram.adapters.redis.cache import BATCH, TICKET_LIFE, RedisRecordCache
from chitram.adapters.redis.client import RedisClient
from chitram.adapters.redis.pending import HEARD_AFTER, MAX_JOBS, TRUSTED_FOR, PendingInvalidations
from chitram.adapters.redis.records import BLOB_FIELDS, IMAGE_FIELDS, SCHEMA, decode, encode
from chitram.domain.blobs import Blob, BlobState
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.images import Image, ImageRecord, Visibility
from chitram.domain.jobs import JobKind, NewJob
from chitram.ports.cache import Miss
from tests.counts import count
from tests.factories.databases import open_migrated
from tests.factories.redis_clients import redis_client
from tests.factories.rows import NOW
from tests.services.processes import free_port, running
from tests.services.valkey import Valkey

pytestmark = pytest.mark.slow

TTL = 3600.0
ID = "image000001"


def record(*, name: str = "a.jpg", **changes: object) -> ImageRecord:
    """A record with every field filled. `changes` are of the image, or of the blob where that alone has the field."""
    blob = Blob(
        id=2**40, sha256="ab" * 32, generation="000000000001", size=3, content_type="image/jpeg", width=1, height=2,
        state=BlobState.LIVE, thumbnail_type="image/webp", pipeline_version=1, perceptual_hash=2**64 - 1,
        placeholder="1QcS/HQ+", broken_reason=None, created_at=NOW, verified_at=NOW, condemned_at=None,
        corrupt_at=NOW,
    )  # fmt: skip
    image = Image(
        id=ID, blob_id=2**40, filename=name, visibility=Visibility.UNLISTED, created_at=NOW,
        delete_token_hash="d" * 64, received_sha256="e" * 64, owner_id="user0000001",
        title="చిత్రం \u2028 \U0001f600", description="a\n\"b\"\x00",
    )  # fmt: skip
    of_image: dict[str, Any] = {key: value for key, value in changes.items() if key in IMAGE_FIELDS}
    of_blob: dict[str, Any] = {key: value for key, value in changes.items() if key not in IMAGE_FIELDS}
    return ImageRecord(replace(image, **of_image), replace(blob, **of_blob))


def without_secrets(full: ImageRecord) -> ImageRecord:
    return ImageRecord(replace(full.image, delete_token_hash=None, received_sha256=""), full.blob)


@dataclass
class Process:
    """What one server process has of the cache."""

    cache: RedisRecordCache
    database: SqlDatabase
    client: "LateAnswers"

    async def ticket(self) -> object:
        miss = await self.cache.get(ID)
        assert isinstance(miss, Miss)
        return miss.ticket

    async def shown(self) -> str | None:
        """The name in the cached record, None for a miss."""
        found = await self.cache.get(ID)
        return None if isinstance(found, Miss) else found.image.filename

    async def shows(self, name: str) -> bool:
        """Whether that is the name, asked until it is: a process that hears of the jobs too late has misses."""
        deadline = time.monotonic() + 20
        while await self.shown() != name:
            if time.monotonic() > deadline:
                return False
        return True

    async def leave_job(self, *image_ids: str) -> None:
        """What a change commits for the cache's sake."""
        async with self.database.begin() as work:
            await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": list(image_ids)}, run_at=NOW))

    async def finish_jobs(self) -> None:
        async with self.database.begin() as work:
            for job in await work.jobs.claim(now=NOW, lease_until=NOW, limit=1000):
                await work.jobs.finish(job.id)


Meanwhile = Callable[[], Awaitable[None]]


class LateAnswers:
    """A client of Redis whose next answer to a script comes only when `meanwhile` was done."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.meanwhile: Meanwhile | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def evaluate(self, *arguments: Any, **keywords: Any) -> Any:
        answer = await self._client.evaluate(*arguments, **keywords)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return answer


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts processes on one database; each has a client of its own for the Redis at the address."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_migrated(tmp_path / "chitram.db"))

        async def begin(address: str, *, clock: ManualClock | None = None) -> Process:
            late = LateAnswers(await stack.enter_async_context(redis_client(address)))
            pending = PendingInvalidations(database, clock=clock or SystemClock())
            stack.push_async_callback(pending.aclose)
            client = cast("RedisClient", late)
            return Process(RedisRecordCache(client, prefix="test", ttl=TTL, pending=pending), database, late)

        yield begin


@pytest.fixture
async def process(start: Start, valkey: Valkey) -> Process:
    valkey.ask("FLUSHALL")
    return await start(valkey.url)


@pytest.fixture
async def cut_off(start: Start) -> Process:
    """A process on the same database that does not reach Redis."""
    return await start(f"redis://127.0.0.1:{free_port()}/0")


async def fill(process: Process, full: ImageRecord | None = None) -> None:
    await process.cache.fill(ID, full or record(), ticket=await process.ticket())


# ------------------------------------------------------------------------------------------------ what is kept, and how


async def test_a_record_comes_back_as_it_was_but_for_its_secrets(start: Start, valkey: Valkey):
    valkey.ask("FLUSHALL")
    process = await start(valkey.url, clock=ManualClock())
    await fill(process)
    assert await process.cache.get(ID) == without_secrets(record())


async def test_the_key_is_that_of_the_contract_and_lives_for_its_time(process: Process, valkey: Valkey):
    await fill(process)
    key = f"test:image:{ID}"
    assert TTL * 1000 - 60_000 < int(valkey.ask("PTTL", key)[1:]) <= TTL * 1000
    ticket = f"test:ticket:{{{key}}}"
    assert 0 < int(valkey.ask("PTTL", ticket)[1:]) <= TICKET_LIFE
    assert valkey.ask("DBSIZE") == ":2"


async def test_no_secret_of_the_record_is_in_redis(process: Process, valkey: Valkey):
    await fill(process)
    text = valkey.ask("GET", f"test:image:{ID}")
    assert json.loads(text)["schema"] == SCHEMA
    assert "d" * 64 not in text
    assert "e" * 64 not in text
    assert {"delete_token_hash", "received_sha256"} == {f.name for f in fields(Image)} - set(IMAGE_FIELDS)


@pytest.mark.parametrize("hidden", [{"visibility": Visibility.PRIVATE}, {"broken_reason": "truncated"}])
async def test_hidden_records_are_not_kept(process: Process, valkey: Valkey, hidden: dict[str, object]):
    await fill(process, record(**hidden))
    assert await process.shown() is None
    assert valkey.ask("EXISTS", f"test:image:{ID}") == ":0"


def test_the_schema_is_raised_with_every_change_of_a_record():
    """A record that another version has written must not be taken for one of ours: change this with SCHEMA."""
    assert SCHEMA == 1
    assert IMAGE_FIELDS == (
        "id", "blob_id", "filename", "visibility", "created_at", "owner_id", "title", "description",
    )  # fmt: skip
    assert BLOB_FIELDS == (
        "id", "sha256", "generation", "size", "content_type", "width", "height", "state", "thumbnail_type",
        "pipeline_version", "perceptual_hash", "placeholder", "broken_reason", "created_at", "verified_at",
        "condemned_at", "corrupt_at",
    )  # fmt: skip


def changed(**changes: object) -> bytes:
    entry = json.loads(encode(record(), incarnation="i"))
    for path, value in changes.items():
        outer, _, inner = path.partition("__")
        if inner:
            entry[outer][inner] = value
        else:
            entry[outer] = value
    return json.dumps(entry).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{", b"\xff\x00", b'{"schema": 1}', changed(schema=SCHEMA + 1), changed(image=None),
        changed(image__visibility="secret"), changed(image__visibility="private"), changed(image__id="image000002"),
        changed(image__created_at="yesterday"), changed(image__created_at=3), changed(blob__more=1),
        changed(blob__state="gone"), changed(blob__broken_reason="corrupt"),
    ],
)  # fmt: skip
def test_what_somebody_else_has_written_is_not_read(data: bytes):
    assert decode(data, image_id=ID) is None
    assert decode(changed(), image_id=ID) == without_secrets(record())


async def test_keys_of_other_types_do_no_harm(process: Process, valkey: Valkey):
    valkey.ask("RPUSH", f"test:image:{ID}", "x")
    assert await process.ticket() is None
    await process.cache.invalidate([ID])
    await fill(process)
    assert await process.shows("a.jpg")


async def test_many_are_dropped_with_few_commands(process: Process, valkey: Valkey):
    await fill(process)
    others = [f"other{n:06d}" for n in range(3 * BATCH)]
    before = int(valkey.ask("INFO", "commandstats").partition("cmdstat_del:calls=")[2].partition(",")[0] or 0)
    await process.cache.invalidate([*others, ID])
    after = int(valkey.ask("INFO", "commandstats").partition("cmdstat_del:calls=")[2].partition(",")[0])
    assert after - before == 4
    assert await process.shown() is None


# ----------------------------------------------------------------------------------------- what cannot be told to Redis


async def test_a_change_that_redis_did_not_hear_of_is_heard_of_from_the_database(process: Process, cut_off: Process):
    await fill(process)
    assert await process.shows("a.jpg")
    await cut_off.leave_job("image000002", ID)
    await cut_off.cache.invalidate([ID])
    assert await process.shown() is None


async def test_and_as_long_as_nobody_has_told_it(process: Process, cut_off: Process):
    await fill(process)
    await cut_off.leave_job(ID)
    await cut_off.cache.invalidate([ID])
    with pytest.raises(ServiceUnavailable):
        await cut_off.cache.drop([ID])
    assert await process.shown() is None
    await process.cache.drop([ID])
    await process.finish_jobs()
    await asyncio.sleep(HEARD_AFTER)
    await fill(process, record(name="b.jpg"))
    assert await process.shows("b.jpg")


async def test_who_cannot_tell_redis_waits_until_everybody_looks_again(cut_off: Process):
    begun = time.monotonic()
    await cut_off.cache.invalidate([ID])
    assert time.monotonic() - begun >= HEARD_AFTER > TRUSTED_FOR


async def test_the_database_is_asked_now_and_then_and_not_for_each_hit(start: Start, valkey: Valkey):
    valkey.ask("FLUSHALL")
    clock = ManualClock()
    process = await start(valkey.url, clock=clock)
    await fill(process)
    assert await process.shows("a.jpg")
    await process.leave_job(ID)
    # The clock stands still: what the database said is as good as new.
    assert await process.shows("a.jpg")
    clock.advance(timedelta(seconds=TRUSTED_FOR))
    assert await process.shown() is None


@pytest.mark.parametrize("heard", [False, True])
async def test_a_hit_is_judged_by_the_jobs_that_waited_before_redis_was_asked(
    start: Start, valkey: Valkey, cut_off: Process, heard: bool
):
    """Redis gives the old record, then hears of the change, and the job goes: nobody has to have seen it go.

    `heard`: the process has read the list of jobs before, else it does so now; in both cases it reads it again before
    the answer comes.
    """
    valkey.ask("FLUSHALL")
    clock = ManualClock()
    process, other = await start(valkey.url, clock=clock), await start(valkey.url, clock=clock)
    await fill(process)
    assert await process.shows("a.jpg")
    await cut_off.leave_job(ID)
    await cut_off.cache.invalidate([ID])
    clock.advance(timedelta(seconds=HEARD_AFTER))
    if heard:
        assert await process.shown() is None

    async def the_job_runs() -> None:
        await other.cache.drop([ID])
        await other.finish_jobs()
        clock.advance(timedelta(seconds=HEARD_AFTER))
        assert isinstance(await process.cache.get("image000002"), Miss)

    process.client.meanwhile = the_job_runs
    assert await process.shown() is None
    assert process.client.meanwhile is None
    await fill(process, record(name="b.jpg"))
    assert await process.shows("b.jpg")


async def test_misses_ask_the_database_no_more_often_than_hits(start: Start, valkey: Valkey):
    valkey.ask("FLUSHALL")
    clock = ManualClock()
    process = await start(valkey.url, clock=clock)
    assert await process.ticket() is not None
    await process.database.aclose()
    # Nothing has to be asked, so nobody notices.
    await fill(process)
    assert await process.shows("a.jpg")


async def test_what_is_not_cached_can_be_filled_in_while_the_database_cannot_say(start: Start, valkey: Valkey):
    valkey.ask("FLUSHALL")
    process = await start(valkey.url)
    await process.database.aclose()
    assert await process.ticket() is not None


async def test_nothing_is_trusted_while_the_database_cannot_say(start: Start, valkey: Valkey):
    valkey.ask("FLUSHALL")
    clock = ManualClock()
    process = await start(valkey.url, clock=clock)
    await fill(process)
    assert await process.shows("a.jpg")
    await process.database.aclose()
    assert await process.shows("a.jpg")
    clock.advance(timedelta(seconds=TRUSTED_FOR))
    assert await process.shown() is None


async def test_nothing_is_trusted_while_too_many_changes_wait(process: Process):
    await fill(process)
    async with process.database.begin() as work:
        for number in range(MAX_JOBS + 1):
            await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": [f"other{number:06d}"]}, run_at=NOW))
    await asyncio.sleep(HEARD_AFTER)
    assert await process.shown() is None
    await process.finish_jobs()
    await asyncio.sleep(HEARD_AFTER)
    assert await process.shows("a.jpg")


# -------------------------------------------------------------------------------------- what becomes of Redis meanwhile


async def test_a_flush_takes_the_tickets_along(process: Process, valkey: Valkey):
    ticket = await process.ticket()
    valkey.ask("FLUSHALL")
    await process.cache.fill(ID, record(name="stale"), ticket=ticket)
    assert await process.shown() is None
    # Another one is given out, with which the old one has nothing in common.
    await process.cache.fill(ID, record(name="stale"), ticket=ticket)
    assert await process.shown() is None


async def test_what_comes_back_with_an_old_snapshot_counts_for_nothing(start: Start, tmp_path: Path):
    with running(Valkey(tmp_path / "valkey")) as service:
        assert isinstance(service, Valkey)
        process = await start(service.url)
        await fill(process)
        other = await process.cache.get("image000002")
        assert isinstance(other, Miss)
        assert service.ask("SAVE") == "+OK"
        await process.cache.invalidate([ID, "image000002"])
        service.kill()
        service.start()
        assert service.ask("EXISTS", f"test:image:{ID}") == ":1"
        assert await process.shown() is None
        await process.cache.fill("image000002", record(name="stale", id="image000002"), ticket=other.ticket)
        assert isinstance(await process.cache.get("image000002"), Miss)
        await fill(process, record(name="new"))
        assert await process.shows("new")


async def test_what_a_promoted_replica_has_kept_counts_for_nothing(start: Start, tmp_path: Path):
    """The replica did not hear of the invalidation before it took the master's place."""
    with (
        running(Valkey(tmp_path / "one", repl_diskless_sync_delay="0")) as one,
        running(Valkey(tmp_path / "two")) as two,
    ):
        assert isinstance(one, Valkey)
        assert isinstance(two, Valkey)
        two.ask("REPLICAOF", "127.0.0.1", one.port)
        process = await start(one.url)
        await fill(process)
        until(lambda: two.ask("EXISTS", f"test:image:{ID}") == ":1")
        one.kill()
        two.ask("REPLICAOF", "NO", "ONE")
        later = await start(two.url)
        assert await later.shown() is None


async def test_without_room_nothing_is_kept_and_what_is_there_can_be_dropped(start: Start, tmp_path: Path):
    with running(Valkey(tmp_path / "valkey", maxmemory_policy="noeviction")) as service:
        assert isinstance(service, Valkey)
        process = await start(service.url)
        await fill(process)
        service.ask("CONFIG", "SET", "maxmemory", "1")
        assert await process.shows("a.jpg")
        assert not await process.cache.check()
        await process.cache.drop([ID])
        assert await process.ticket() is None
        service.ask("CONFIG", "SET", "maxmemory", "0")
        assert await process.cache.check()
        await fill(process)
        assert await process.shows("a.jpg")


async def test_a_server_that_only_reads_cannot_be_told(start: Start, tmp_path: Path):
    with running(Valkey(tmp_path / "valkey")) as service:
        assert isinstance(service, Valkey)
        process = await start(service.url)
        await fill(process)
        service.ask("REPLICAOF", "127.0.0.1", free_port())
        assert not await process.cache.check()
        with pytest.raises(ServiceUnavailable):
            await process.cache.drop([ID])
        await process.leave_job(ID)
        await process.cache.invalidate([ID])
        assert await process.shown() is None


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------------- every order of it

READER = ("ask", "read", "fill")
WRITER = ("commit", "invalidate")
Step = tuple[str, str]


def orders(*actors: tuple[str, tuple[str, ...]]) -> list[tuple[Step, ...]]:
    """Every order of what the actors do, each of whom keeps to their own order."""
    names = [name for name, steps in actors for _ in steps]
    return [
        tuple((name, next(left[name])) for name in order)
        for order in sorted(set(itertools.permutations(names)))
        for left in [{name: iter(steps) for name, steps in actors}]
    ]


ORDERS = orders(("reader", READER), ("late reader", READER), ("writer", WRITER))
DISTURBED = orders(("reader", READER), ("writer", WRITER), ("redis", ("flush",)))


class Story:
    """One image, two processes, and what each of them knows. `told`: whether the writer reaches Redis."""

    def __init__(self, process: Process, writer: Process, valkey: Valkey) -> None:
        self.process = process
        self.writer = writer
        self.valkey = valkey
        self.committed = 0
        self.answered = 0
        self.tickets: dict[str, object] = {}
        self.read: dict[str, int] = {}

    async def run(self, order: tuple[Step, ...]) -> None:
        for actor, step in order:
            await getattr(self, f"_{step}")(actor)
            shown = await self.process.shown()
            assert shown is None or int(shown) >= self.answered, order

    async def _ask(self, actor: str) -> None:
        found = await self.process.cache.get(ID)
        self.tickets[actor] = found.ticket if isinstance(found, Miss) else None

    async def _read(self, actor: str) -> None:
        self.read[actor] = self.committed

    async def _fill(self, actor: str) -> None:
        full = record(name=str(self.read[actor]))
        await self.process.cache.fill(ID, full, ticket=self.tickets[actor])

    async def _commit(self, _: str) -> None:
        await self.writer.leave_job(ID)
        self.committed += 1

    async def _invalidate(self, _: str) -> None:
        await self.writer.cache.invalidate([ID])
        self.answered = self.committed

    async def _flush(self, _: str) -> None:
        self.valkey.ask("FLUSHALL")

    async def end(self) -> None:
        """The job runs, in a process that reaches Redis."""
        await self.process.cache.drop([ID])
        await self.process.finish_jobs()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kind", ["readers", "disturbed"])
async def test_no_order_of_steps_shows_what_was_before(
    process: Process, cut_off: Process, valkey: Valkey, told: bool, kind: str, proof
):
    """After the answer to a change nobody sees what was before: not while its job waits, and not after that."""
    cases = {"readers": ORDERS, "disturbed": DISTURBED}[kind][:: count(6 if told else 24, 1)]
    for order in cases:
        valkey.ask("FLUSHALL")
        story = Story(process, process if told else cut_off, valkey)
        await story.run(order)
        await story.end()
        # Who asked before the change fills in only now.
        for actor in story.tickets:
            await process.cache.fill(ID, record(name=str(story.read[actor])), ticket=story.tickets[actor])
        kept = valkey.ask("GET", f"test:image:{ID}")
        assert kept == "$-1" or json.loads(kept)["image"]["filename"] == "1", order
    proof.record(
        "No order of steps shows a record from before its change",
        f"two processes and Redis, {kind}, {'told' if told else 'not told'} of the change: orders; stale records",
        f"{len(cases)}; 0",
    )
