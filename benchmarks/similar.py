"""Near-duplicates among many hashes: `python -m benchmarks.similar [--rows 10000000] [--file bands.db]`.

Limit: the driver reading the probed rows and nothing else. Peer: the distance to every row. Random hashes, inserted in
random order of their keys as uploads do; a file given by name is kept and used again. 10 M rows take minutes to insert.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from chitram.adapters.db import migrate
from chitram.adapters.db.column_types import signed64
from chitram.adapters.db.connections import ConnectionPool, ThreadTransaction
from chitram.adapters.db.engine import connect, reader_engine
from chitram.adapters.db.perceptual import band_rows, permuted, probe_keys
from chitram.adapters.db.similar import near_blobs

SEED = 11
BATCH = 50_000
TARGET_BYTES = 120


def load(path: Path, *, rows: int) -> None:
    """Fill the band table of a fresh database with `rows` random hashes."""
    migrate.upgrade(f"sqlite:///{path}")
    generator = random.Random(SEED)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # Only how fast it is read matters here.
        connection.execute("PRAGMA cache_size = -400000")
        for start in range(0, rows, BATCH):
            batch = [
                row
                for number in range(start, min(start + BATCH, rows))
                for row in band_rows(generator.getrandbits(64), blob_id=number + 1)
            ]
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO perceptual_bands VALUES (:band_key, :blob_id, :hash)", batch)
            connection.execute("COMMIT")


def bytes_a_row(path: Path) -> float:
    """Bytes of the band table for one blob, as the file has them."""
    with closing(connect(path, read_only=True)) as connection:
        size = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'perceptual_bands'").fetchone()[0]
        return float(size) / float(connection.execute("SELECT count(*) / 4.0 FROM perceptual_bands").fetchone()[0])


async def time_ours(path: Path, queries: list[int], *, distance: int) -> list[float]:
    """Seconds of each query."""
    pool = ConnectionPool(reader_engine(path), size=1, wait=1, name="bench")
    thread = await pool.acquire()
    transaction = ThreadTransaction(thread, pool=pool)
    times = []
    for query in queries:
        started = time.perf_counter()
        await near_blobs(transaction, query, distance=distance)
        times.append(time.perf_counter() - started)
    await transaction.rollback()
    await pool.aclose()
    return times


def time_limit(path: Path, queries: list[int], *, distance: int) -> list[float]:
    """Seconds of reading the same rows without looking at them."""
    times = []
    with closing(connect(path, read_only=True)) as connection:
        for query in queries:
            keys = probe_keys(query, distance=distance)
            sql = f"SELECT count(hash) FROM perceptual_bands WHERE band_key IN ({', '.join('?' * len(keys))})"
            started = time.perf_counter()
            connection.execute(sql, keys).fetchone()
            times.append(time.perf_counter() - started)
    return times


def time_scan(path: Path, query: int, *, distance: int) -> float:
    """Seconds of comparing one query with every hash."""
    bits = permuted(query)
    with closing(connect(path, read_only=True)) as connection:
        started = time.perf_counter()
        rows = connection.execute("SELECT hash, blob_id FROM perceptual_bands WHERE band_key < 65536")
        sum(1 for value, _ in rows if ((value ^ signed64(bits)) & (2**64 - 1)).bit_count() <= distance)
        return time.perf_counter() - started


def main() -> None:
    """Print the figures and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--distance", type=int, default=8)
    parser.add_argument("--file", type=Path, help="keep the database here, or use the one that is here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.file or Path(directory) / "bands.db"
        if not path.exists():
            load(path, rows=options.rows)
        generator = random.Random(SEED + 1)
        queries = [generator.getrandbits(64) for _ in range(options.queries)]
        ours = statistics.median(asyncio.run(time_ours(path, queries, distance=options.distance)))
        limit = statistics.median(time_limit(path, queries, distance=options.distance))
        scan = time_scan(path, queries[0], distance=options.distance)
        size = bytes_a_row(path)
    print(f"reading the probed rows (limit) {limit * 1e3:9.2f} ms")
    print(f"within {options.distance} bits               {ours * 1e3:9.2f} ms, {ours / limit:.1f} times the limit")
    print(f"comparing with every hash (peer){scan * 1e3:9.2f} ms, {scan / ours:.0f} times ours")
    print(f"{size:.1f} bytes a row (target {TARGET_BYTES})")


if __name__ == "__main__":
    main()
