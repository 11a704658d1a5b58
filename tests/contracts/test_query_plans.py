"""No query that a request, a sweeper or a list makes reads a whole table or sorts more than it returns."""

import asyncio
import atexit
import random
import re
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from chitram.adapters.db.credentials import api_token_sql, session_sql
from chitram.adapters.db.lookup import lookup_sql
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.idempotency import IdempotencyKey
from chitram.domain.images import Order, Visibility
from chitram.domain.jobs import JobKind, JobState, NewJob
from chitram.domain.media import Rendered
from chitram.domain.users import Quota, Role
from chitram.ports.repositories.images import Position
from chitram.ports.unit_of_work import UnitOfWork
from tests.factories.databases import database_url, open_migrated, opened
from tests.factories.rows import (
    NOW,
    add_api_token,
    add_blob,
    add_image,
    add_session,
    add_user,
    new_api_token,
    new_blob,
    new_image,
    new_invite,
    new_session,
    new_user,
    user_id_of,
)

pytestmark = pytest.mark.slow

RENDERED = Rendered(thumbnails={}, thumbnail_type="image/jpeg", perceptual_hash=77, placeholder="p")
HERE = Position(NOW, "image000000")
NAMED, SIZED = Position("a", "image000000"), Position(1000, "image000000")

MINE = user_id_of(1)
SESSION, TOKEN, INVITE = new_session(1), new_api_token(1), new_invite(1)
KEY = IdempotencyKey("user:1", "one of the keys")


def similar(*, distance: int, owner_id: str | None = None):
    """The near-duplicates of the blob that every database here has."""
    value = new_blob().perceptual_hash
    return lambda work: work.images.similar(value, distance=distance, exclude="", limit=10, owner_id=owner_id)


#: Name of a query → how to make it. Each runs on a database with one row of everything.
QUERIES = {
    "take": lambda work: work.blobs.take("0" * 64),
    "lock": lambda work: work.blobs.lock(1),
    "find": lambda work: work.blobs.find("0" * 64),
    "add": lambda work: work.blobs.add(new_blob("more"), pipeline_version=1),
    "condemn": lambda work: work.blobs.condemn(1, at=NOW),
    "revive": lambda work: work.blobs.revive(1),
    "mark_erasing": lambda work: work.blobs.mark_erasing(1),
    "replace": lambda work: work.blobs.replace(1, new_blob(generation="g", perceptual_hash=3), pipeline_version=1),
    "set_rendered": lambda work: work.blobs.set_rendered(1, rendered=RENDERED, pipeline_version=1),
    "set_verified": lambda work: work.blobs.set_verified(1, at=NOW, corrupt=True),
    "count_images": lambda work: work.blobs.count_images(1),
    "condemned_before": lambda work: work.blobs.condemned_before(NOW, limit=10),
    "without_thumbnails": lambda work: work.blobs.without_thumbnails(pipeline_version=9, limit=10),
    "verified_before": lambda work: work.blobs.verified_before(NOW, limit=10),
    "corrupt_before": lambda work: work.blobs.corrupt_before(NOW, limit=10),
    "known_keys": lambda work: work.blobs.known_keys([new_blob().key, new_blob(2).key]),
    "page": lambda work: work.blobs.page(after_id=0, limit=10),
    "image lock": lambda work: work.images.lock("image000001"),
    "image get": lambda work: work.images.get("image000001"),
    "ids_of_blob": lambda work: work.images.ids_of_blob(1),
    "list_public": lambda work: work.images.list_public(after=None, limit=24),
    "list_public on": lambda work: work.images.list_public(after=HERE, limit=24),
    "list_owned": lambda work: work.images.list_owned(MINE, after=None, limit=24),
    "list_owned on": lambda work: work.images.list_owned(MINE, after=HERE, limit=24),
    "list_owned oldest": lambda work: work.images.list_owned(MINE, after=HERE, limit=24, order=Order.OLDEST),
    "list_owned by name": lambda work: work.images.list_owned(MINE, after=None, limit=24, order=Order.NAME),
    "list_owned by name on": lambda work: work.images.list_owned(MINE, after=NAMED, limit=24, order=Order.NAME),
    "list_owned by size": lambda work: work.images.list_owned(MINE, after=None, limit=24, order=Order.SIZE),
    "list_owned by size on": lambda work: work.images.list_owned(MINE, after=SIZED, limit=24, order=Order.SIZE),
    "image update": lambda work: work.images.update(new_image(0, blob_id=1)),
    "disown": lambda work: work.images.disown(MINE),
    "remove_owned": lambda work: work.images.remove_owned(MINE),
    "remove_owned private": lambda work: work.images.remove_owned(MINE, visibility=Visibility.PRIVATE),
    "twin": lambda work: work.images.twin(MINE, blob_id=1),
    "condemn_unnamed": lambda work: work.blobs.condemn_unnamed([1, 2, 3], at=NOW),
    "similar 8": similar(distance=8),
    "similar 16": similar(distance=16),
    "similar 8 owned": similar(distance=8, owner_id=MINE),
    "similar 16 owned": similar(distance=16, owner_id=MINE),
    "user add": lambda work: work.users.add(new_user(99)),
    "user get": lambda work: work.users.get(MINE),
    "user lock": lambda work: work.users.lock(MINE),
    "user find": lambda work: work.users.find(new_user(1).email_key),
    "charge": lambda work: work.users.charge(MINE, size=1, default=Quota(9, 9)),
    "user release": lambda work: work.users.release(MINE, size=1),
    "set_role": lambda work: work.users.set_role(MINE, role=Role.ADMIN),
    "user remove": lambda work: work.users.remove(user_id_of(2)),
    "user page": lambda work: work.users.page(after_email_key="p", limit=10),
    "session of_user": lambda work: work.sessions.of_user(MINE, now=NOW),
    "session remove": lambda work: work.sessions.remove(SESSION.id, user_id=MINE),
    "session remove_of_user": lambda work: work.sessions.remove_of_user(MINE, but=SESSION.id),
    "knows_address": lambda work: work.sessions.knows_address(MINE, subject="192.0.2.1"),
    "remember_address": lambda work: work.sessions.remember_address(MINE, subject="192.0.2.1", at=NOW, keep=2),
    "forget_addresses_of": lambda work: work.sessions.forget_addresses_of(MINE, but="192.0.2.1"),
    "forget_addresses": lambda work: work.sessions.forget_addresses(before=NOW, limit=10),
    "session set_used": lambda work: work.sessions.set_used({SESSION.id: NOW}),
    "session remove_expired": lambda work: work.sessions.remove_expired(now=NOW, limit=10),
    "token of_user": lambda work: work.api_tokens.of_user(MINE),
    "token remove": lambda work: work.api_tokens.remove(TOKEN.id, user_id=MINE),
    "token remove_of_user": lambda work: work.api_tokens.remove_of_user(MINE),
    "token set_used": lambda work: work.api_tokens.set_used({TOKEN.id: NOW}),
    "redeem": lambda work: work.invites.redeem(INVITE.code_hash, now=NOW),
    "invite remove_expired": lambda work: work.invites.remove_expired(now=NOW),
    "hold": lambda work: work.idempotency.hold(KEY, holder="h", now=NOW, until=NOW, expires_at=NOW),
    "key finish": lambda work: work.idempotency.finish(KEY, holder="h", fingerprint="f", image_id="i"),
    "key release": lambda work: work.idempotency.release(KEY, holder="h"),
    "key remove_expired": lambda work: work.idempotency.remove_expired(now=NOW, limit=10),
    "claim": lambda work: work.jobs.claim(now=NOW, lease_until=NOW, limit=10),
    "job add": lambda work: work.jobs.add(NewJob(JobKind.RENDER, {}, NOW, key="other")),
    "retry": lambda work: work.jobs.retry(1, run_at=NOW, error=""),
    "bury": lambda work: work.jobs.bury(1, error=""),
    "job revive": lambda work: work.jobs.revive(1, now=NOW),
    "job list": lambda work: work.jobs.list(state=JobState.DEAD, limit=10),
    "invalidations": lambda work: work.jobs.invalidations(limit=10),
    "next_run_at": lambda work: work.jobs.next_run_at(),
    "lease": lambda work: work.leases.acquire("l", holder="h", now=NOW, until=NOW),
}

#: Rows that a statement brings along itself, and those of the page that it found.
HARMLESS = re.compile(r"CONSTANT ROW|VIRTUAL TABLE|SCAN shown$")

#: Sorting is in order where what is sorted is small: the images of a few near blobs, the addresses of one account, the
#: corrupt blobs.
SORTS_LITTLE = {"similar 8", "similar 16", "similar 8 owned", "similar 16 owned", "remember_address", "corrupt_before"}
#: Sizes are in another table than owners. What is sorted here is two numbers for each image of one account.
SORTS_AN_ACCOUNT = {"list_owned by size", "list_owned by size on"}


@contextmanager
def recorded() -> Iterator[list[tuple[str, object]]]:
    """Every statement that is executed meanwhile, with its parameters."""
    statements: list[tuple[str, object]] = []

    def record(connection: Connection, cursor, statement: str, parameters, context, executemany: bool) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


async def plans(work: UnitOfWork, statements: list[tuple[str, object]]) -> list[str]:
    transaction = work.blobs._statements

    def explain(connection: Connection) -> list[str]:
        return [
            row[3]
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    return await transaction._run(explain)


async def fill(database: SqlDatabase, *, more: int = 0) -> None:
    generator = random.Random(more)
    async with database.begin() as work:
        await add_accounts(work, 1 + more // 5)
        for number in range(1 + more):
            # One is what is looked for, the others look like nothing else.
            perceptual_hash = new_blob().perceptual_hash if number == 0 else generator.getrandbits(64)
            blob = await add_blob(work, number, perceptual_hash=perceptual_hash)
            owner = {"owner_id": MINE, "delete_token_hash": None} if number % 3 == 0 else {}
            await add_image(work, number, blob_id=blob.id, **owner)
            await work.jobs.add(NewJob(JobKind.RENDER, {}, NOW, key=f"k{number}"))


async def add_accounts(work: UnitOfWork, count: int) -> None:
    """Accounts from the number 1, each with a session, an API token, an invitation and idempotency keys."""
    for number in range(1, 1 + count):
        await add_user(work, number)
        await add_session(work, number, user=number)
        for last in range(3):
            await work.sessions.remember_address(user_id_of(number), subject=f"192.0.2.{last}", at=NOW, keep=9)
        await add_api_token(work, number, user=number)
        await work.invites.add(new_invite(number))
        for key in (KEY.key, "another one of theirs", "and one more"):
            scoped = IdempotencyKey(f"user:{number}", key)
            await work.idempotency.hold(scoped, holder="h", now=NOW, until=NOW, expires_at=NOW)


async def plans_of(tmp_path: Path, name: str, *, analyzed: bool) -> list[str]:
    """How SQLite executes the query `name`, with or without statistics."""
    return await plans_by(tmp_path, QUERIES[name], analyzed=analyzed)


async def plans_by(
    tmp_path: Path, query: Callable[[UnitOfWork], Awaitable[object]], *, analyzed: bool = False
) -> list[str]:
    """How SQLite executes what `query` asks of a database with one row of everything, or with 51 and statistics."""
    path = tmp_path / "chitram.db"
    shutil.copyfile(filled(analyzed=analyzed), path)
    async with opened(open_sqlite(url=database_url(path))) as database, database.begin() as work:
        with recorded() as statements:
            await query(work)
        assert statements
        return await plans(work, statements)


@cache
def filled(*, analyzed: bool) -> Path:
    """A database file to copy, made once for all tests of this module in a thread, for their loop is running."""
    directory = tempfile.TemporaryDirectory(prefix="chitram-plans-")
    atexit.register(directory.cleanup)
    path = Path(directory.name) / "chitram.db"

    async def make() -> None:
        async with open_migrated(path) as database:
            await fill(database, more=50 if analyzed else 0)
            if analyzed:
                async with database.begin() as work:
                    await work.blobs._statements._run(lambda connection: connection.exec_driver_sql("ANALYZE").close())

    maker = threading.Thread(target=asyncio.run, args=(make(),))
    maker.start()
    maker.join()
    return path


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_every_query_uses_an_index(tmp_path: Path, name: str, analyzed: bool):
    found = await plans_of(tmp_path, name, analyzed=analyzed)
    assert [line for line in found if line.startswith("SCAN") and not HARMLESS.search(line)] == []
    assert name in SORTS_LITTLE | SORTS_AN_ACCOUNT or [line for line in found if "TEMP B-TREE" in line] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("condemned_before", ["ix_blobs_condemned (condemned_at<?)", "ix_blobs_erasing (state=?)"]),
        ("without_thumbnails", ["ix_blobs_renderable (pipeline_version<?)"]),
        (
            "verified_before",
            ["ix_blobs_verified (verified_at>? AND verified_at<?)", "ix_blobs_never_verified (created_at<?)"],
        ),
        ("corrupt_before", ["ix_blobs_corrupt (state=?)"]),
        (
            "claim",
            [
                "ix_jobs_state_run_at_id (state=? AND run_at<?)",
                "ix_jobs_state_lease_until_id (state=? AND lease_until<?)",
            ],
        ),
        ("invalidations", ["ix_jobs_invalidations (kind=?)"]),
        ("similar 8", ["PRIMARY KEY (band_key=?)", "ix_images_blob_id (blob_id=?)"]),
        ("similar 16 owned", ["PRIMARY KEY (band_key=?)", "ix_images_blob_id (blob_id=?)"]),
        ("count_images", ["ix_images_blob_id (blob_id=?)"]),
        ("condemn_unnamed", ["INTEGER PRIMARY KEY (rowid=?)", "ix_images_blob_id (blob_id=?)"]),
        ("list_owned", ["ix_images_owned (owner_id=?)"]),
        ("disown", ["(owner_id=?)"]),
        ("remove_owned", ["(owner_id=?)"]),
        ("remove_owned private", ["(owner_id=?)"]),
        ("twin", ["ix_images_twins (owner_id=? AND blob_id=?)"]),
        ("user find", ["(email_key=?)"]),
        ("user page", ["(email_key>?)"]),
        ("charge", ["PRIMARY KEY (id=?)"]),
        ("session of_user", ["ix_sessions_user_id_created_at_id (user_id=?)"]),
        ("session remove_expired", ["PRIMARY KEY (id=?)", "ix_sessions_expires_at (expires_at<?)"]),
        ("session set_used", ["PRIMARY KEY (id=?)"]),
        ("knows_address", ["PRIMARY KEY (user_id=? AND subject=?)"]),
        ("remember_address", ["PRIMARY KEY (user_id=?)"]),
        (
            "forget_addresses",
            ["PRIMARY KEY (user_id=? AND subject=?)", "ix_familiar_addresses_last_seen_at (last_seen_at<?)"],
        ),
        ("token of_user", ["ix_api_tokens_user_id_created_at_id (user_id=?)"]),
        ("token set_used", ["PRIMARY KEY (id=?)"]),
        ("redeem", ["PRIMARY KEY (code_hash=?)"]),
        ("invite remove_expired", ["ix_invites_expires_at (expires_at<?)"]),
        ("key finish", ["PRIMARY KEY (scope=? AND key_hash=?)"]),
        (
            "key remove_expired",
            ["PRIMARY KEY (scope=? AND key_hash=?)", "ix_idempotency_keys_expires_at (expires_at<?)"],
        ),
    ],
)
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_sweeps_read_their_own_index(tmp_path: Path, name: str, expected: list[str], analyzed: bool):
    found = await plans_of(tmp_path, name, analyzed=analyzed)
    for index in expected:
        assert any(line.endswith(index) for line in found), found


async def test_the_public_list_is_read_in_order_from_its_index(tmp_path: Path):
    found = await plans_by(tmp_path, QUERIES["list_public on"])
    assert found[0].startswith("SEARCH images USING INDEX ix_images_visibility_created_at_id (visibility=? AND ")
    assert "created_at" in found[0].partition(" AND ")[2]
    assert found[1] == "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)"


async def test_the_list_of_an_account_is_read_in_order_from_its_index(tmp_path: Path):
    found = await plans_of(tmp_path, "list_owned on", analyzed=False)
    assert found == [
        "SEARCH images USING INDEX ix_images_owned (owner_id=? AND (created_at,id)<(?,?))",
        "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_the_list_by_name_is_read_in_order_from_its_index(tmp_path: Path, analyzed: bool):
    found = await plans_of(tmp_path, "list_owned by name on", analyzed=analyzed)
    assert found == [
        "SEARCH images USING INDEX ix_images_names (owner_id=? AND <expr>>?)",
        "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.parametrize("name", sorted(SORTS_AN_ACCOUNT))
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_the_list_by_size_reads_whole_images_only_to_show_them(tmp_path: Path, name: str, analyzed: bool):
    found = await plans_of(tmp_path, name, analyzed=analyzed)
    shown = found.index("SCAN shown")
    assert "SEARCH images USING COVERING INDEX ix_images_twins (owner_id=?)" in found[:shown]
    assert "SEARCH images USING PRIMARY KEY (id=?)" in found[shown:]


async def test_near_duplicates_read_only_the_bands_that_are_probed(tmp_path: Path):
    found = await plans_by(tmp_path, similar(distance=16))
    bands = [line for line in found if "perceptual_bands" in line]
    assert bands == ["SEARCH perceptual_bands USING PRIMARY KEY (band_key=?)"]


async def test_counts_read_indexes_only(tmp_path: Path):
    async def count_everything(work: UnitOfWork) -> None:
        await work.blobs.counts()
        await work.jobs.counts()
        await work.images.count()
        await work.users.count()

    found = await plans_by(tmp_path, count_everything)
    assert [line for line in found if line.startswith("SCAN") and "INDEX" not in line] == []


async def test_the_look_up_is_two_searches(tmp_path: Path):
    async with open_migrated(tmp_path / "chitram.db") as database, database.begin() as work:
        found = await plans(work, [(lookup_sql(), ("x",))])
    assert found == [
        "SEARCH images USING PRIMARY KEY (id=?)",
        "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.parametrize(
    ("sql", "search"),
    [
        (session_sql(), "SEARCH sessions USING PRIMARY KEY (id=?)"),
        (api_token_sql(), "SEARCH api_tokens USING INDEX sqlite_autoindex_api_tokens_2 (token_hash=?)"),
    ],
    ids=["session", "api_token"],
)
async def test_so_are_those_of_credentials(tmp_path: Path, sql: str, search: str):
    async with open_migrated(tmp_path / "chitram.db") as database, database.begin() as work:
        found = await plans(work, [(sql, ("x",))])
    assert found == [search, "SEARCH users USING PRIMARY KEY (id=?)"]
