"""One image's metadata by its id, three ways: `python -m benchmarks.lookup`.

Limit: the driver alone, a tuple from a prepared statement. Ours: chitram.adapters.db.lookup. Peer: the same row through
SQLAlchemy Core and the read pool, as every other query goes. Rounds are interleaved; medians of rounds; microseconds.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from chitram.adapters.db import migrate
from chitram.adapters.db.engine import connect, database_path
from chitram.adapters.db.lookup import SqliteLookup, lookup_sql
from chitram.adapters.db.sqlite import open_sqlite
from chitram.adapters.db.unit_of_work import SqlDatabase
from chitram.domain.blobs import NewBlob
from chitram.domain.images import Image, Visibility

#: Of the speed of the driver alone, as for a whole uncached metadata request.
TARGET = 0.6
SEED = 7


@dataclass(frozen=True, slots=True)
class Case:
    """A way to look up one id. Every round looks up the same ids."""

    name: str
    look_up: Callable[[str], Awaitable[object]]


async def fill(database: SqlDatabase, *, rows: int) -> list[str]:
    """Store `rows` images, each with a blob of its own; their ids."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [f"{number:011d}" for number in range(rows)]
    async with database.begin() as work:
        for image_id in ids:
            digest = sha256(image_id.encode()).hexdigest()
            new = NewBlob(digest, "0123456789ab", 100_000, "image/jpeg", 800, 600, now, "image/jpeg", 12345, "p" * 28)
            blob = await work.blobs.add(new, pipeline_version=1)
            assert blob is not None
            name = f"{image_id}.jpg"
            await work.images.add(Image(image_id, blob.id, name, Visibility.PUBLIC, now, "d" * 64, digest))
    return ids


async def measure(case: Case, ids: Sequence[str]) -> float:
    """Seconds a look-up."""
    started = time.perf_counter()
    for image_id in ids:
        await case.look_up(image_id)
    return (time.perf_counter() - started) / len(ids)


async def compare(url: str, *, rows: int, rounds: int, look_ups: int) -> dict[str, float]:
    """Name of a case → median microseconds a look-up."""
    database = await open_sqlite(url=url)
    with closing(SqliteLookup(url=url)) as lookup, closing(connect(database_path(url), read_only=True)) as raw:
        ids = random.Random(SEED).choices(await fill(database, rows=rows), k=look_ups)
        sql = lookup_sql()

        async def limit(image_id: str) -> object:
            return raw.execute(sql, (image_id,)).fetchone()

        async def peer(image_id: str) -> object:
            async with database.read() as view:
                return await view.images.get(image_id)

        cases = (Case("driver alone (limit)", limit), Case("look-up", lookup.find), Case("Core (peer)", peer))
        times: dict[str, list[float]] = {case.name: [] for case in cases}
        for _ in range(rounds):
            for case in cases:
                few = ids[: look_ups // 20] if case.look_up is peer else ids
                times[case.name].append(await measure(case, few))
    await database.aclose()
    return {name: statistics.median(values) * 1e6 for name, values in times.items()}


def main() -> None:
    """Print the figures and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--look-ups", type=int, default=10_000, help="in one round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'lookup.db'}"
        migrate.upgrade(url)
        found = asyncio.run(compare(url, rows=options.rows, rounds=options.rounds, look_ups=options.look_ups))
    limit, ours, peer = found.values()
    for name, microseconds in found.items():
        print(f"{name:22} {microseconds:8.1f} us")
    print(f"look-up: {limit / ours:.2f} of the limit's speed (target {TARGET}), {peer / ours:.1f} times the peer's")


if __name__ == "__main__":
    main()
