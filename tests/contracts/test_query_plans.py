"""No query that a request, a sweeper or a list makes reads a whole table or sorts more than it returns."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from chitram.adapters.db.lookup import lookup_sql
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.jobs import JobKind, JobState, NewJob
from chitram.domain.media import Rendered
from chitram.ports.unit_of_work import Position, UnitOfWork
from tests.factories.databases import open_migrated
from tests.factories.rows import NOW, add_blob, add_image, new_blob

RENDERED = Rendered(thumbnails={}, thumbnail_type="image/jpeg", perceptual_hash=77, placeholder="p")
HERE = Position(NOW, "image000000")

#: Name of a query → how to make it. Each runs on a database with one blob, one image and one job.
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
    "known_keys": lambda work: work.blobs.known_keys([new_blob().key, new_blob(2).key]),
    "page": lambda work: work.blobs.page(after_id=0, limit=10),
    "image lock": lambda work: work.images.lock("image000001"),
    "image get": lambda work: work.images.get("image000001"),
    "ids_of_blob": lambda work: work.images.ids_of_blob(1),
    "list_public": lambda work: work.images.list_public(after=None, limit=24),
    "list_public on": lambda work: work.images.list_public(after=HERE, limit=24),
    "similar 8": lambda work: work.images.similar(new_blob().perceptual_hash, distance=8, exclude="", limit=10),
    "similar 16": lambda work: work.images.similar(new_blob().perceptual_hash, distance=16, exclude="", limit=10),
    "claim": lambda work: work.jobs.claim(now=NOW, lease_until=NOW, limit=10),
    "job add": lambda work: work.jobs.add(NewJob(JobKind.RENDER, {}, NOW, key="other")),
    "retry": lambda work: work.jobs.retry(1, run_at=NOW, error=""),
    "bury": lambda work: work.jobs.bury(1, error=""),
    "job revive": lambda work: work.jobs.revive(1, now=NOW),
    "job list": lambda work: work.jobs.list(state=JobState.DEAD, limit=10),
    "next_run_at": lambda work: work.jobs.next_run_at(),
    "lease": lambda work: work.leases.acquire("l", holder="h", now=NOW, until=NOW),
}

#: Rows that a statement brings along itself.
HARMLESS = re.compile(r"CONSTANT ROW|VIRTUAL TABLE")

#: Sorting is in order where what is sorted is small: the images of a few near blobs.
SORTS_LITTLE = {"similar 8", "similar 16"}


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
        for number in range(1 + more):
            # One is what is looked for, the others look like nothing else.
            perceptual_hash = new_blob().perceptual_hash if number == 0 else generator.getrandbits(64)
            blob = await add_blob(work, number, perceptual_hash=perceptual_hash)
            await add_image(work, number, blob_id=blob.id)
            await work.jobs.add(NewJob(JobKind.RENDER, {}, NOW, key=f"k{number}"))


async def plans_of(tmp_path: Path, name: str, *, analyzed: bool) -> list[str]:
    """How SQLite executes the query `name`, with or without statistics."""
    async with open_migrated(tmp_path / "chitram.db") as database:
        await fill(database, more=50 if analyzed else 0)
        async with database.begin() as work:
            if analyzed:
                await work.blobs._statements._run(lambda connection: connection.exec_driver_sql("ANALYZE").close())
            with recorded() as statements:
                await QUERIES[name](work)
            assert statements
            return await plans(work, statements)


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_every_query_uses_an_index(tmp_path: Path, name: str, analyzed: bool):
    found = await plans_of(tmp_path, name, analyzed=analyzed)
    assert [line for line in found if line.startswith("SCAN") and not HARMLESS.search(line)] == []
    assert name in SORTS_LITTLE or [line for line in found if "TEMP B-TREE" in line] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("condemned_before", ["ix_blobs_condemned (condemned_at<?)", "ix_blobs_erasing (state=?)"]),
        ("without_thumbnails", ["ix_blobs_renderable (pipeline_version<?)"]),
        (
            "verified_before",
            ["ix_blobs_verified (verified_at>? AND verified_at<?)", "ix_blobs_never_verified (created_at<?)"],
        ),
        (
            "claim",
            [
                "ix_jobs_state_run_at_id (state=? AND run_at<?)",
                "ix_jobs_state_lease_until_id (state=? AND lease_until<?)",
            ],
        ),
        ("similar 8", ["PRIMARY KEY (band_key=?)", "ix_images_blob_id (blob_id=?)"]),
        ("count_images", ["ix_images_blob_id (blob_id=?)"]),
    ],
)
@pytest.mark.parametrize("analyzed", [False, True], ids=["", "analyzed"])
async def test_sweeps_read_their_own_index(tmp_path: Path, name: str, expected: list[str], analyzed: bool):
    found = await plans_of(tmp_path, name, analyzed=analyzed)
    for index in expected:
        assert any(line.endswith(index) for line in found), found


async def test_the_public_list_is_read_in_order_from_its_index(tmp_path: Path):
    async with open_migrated(tmp_path / "chitram.db") as database:
        await fill(database)
        async with database.begin() as work:
            with recorded() as statements:
                await work.images.list_public(after=HERE, limit=24)
            found = await plans(work, statements)
    assert found[0].startswith("SEARCH images USING INDEX ix_images_visibility_created_at_id (visibility=? AND ")
    assert "created_at" in found[0].partition(" AND ")[2]
    assert found[1] == "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)"


async def test_near_duplicates_read_only_the_bands_that_are_probed(tmp_path: Path):
    async with open_migrated(tmp_path / "chitram.db") as database:
        await fill(database)
        async with database.begin() as work:
            with recorded() as statements:
                await work.images.similar(new_blob().perceptual_hash, distance=16, exclude="", limit=10)
            found = await plans(work, statements)
    bands = [line for line in found if "perceptual_bands" in line]
    assert bands == ["SEARCH perceptual_bands USING PRIMARY KEY (band_key=?)"]


async def test_counts_read_indexes_only(tmp_path: Path):
    async with open_migrated(tmp_path / "chitram.db") as database:
        await fill(database)
        async with database.begin() as work:
            with recorded() as statements:
                await work.blobs.counts()
                await work.jobs.counts()
                await work.images.count()
            found = await plans(work, statements)
    assert [line for line in found if line.startswith("SCAN") and "INDEX" not in line] == []


async def test_the_look_up_is_two_searches(tmp_path: Path):
    async with open_migrated(tmp_path / "chitram.db") as database, database.begin() as work:
        found = await plans(work, [(lookup_sql(), ("x",))])
    assert found == [
        "SEARCH images USING PRIMARY KEY (id=?)",
        "SEARCH blobs USING INTEGER PRIMARY KEY (rowid=?)",
    ]
