"""Near-duplicates: probe the bands, then look up the images of the nearest blobs until enough are found."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from chitram.adapters.db.column_types import signed64
from chitram.adapters.db.connections import Statements
from chitram.adapters.db.dialects import BitDistance
from chitram.adapters.db.perceptual import permuted, probe_keys
from chitram.adapters.db.records import record_of, select_records
from chitram.adapters.db.tables import IS_RENDERABLE, images, perceptual_bands
from chitram.domain.images import ImageRecord, Visibility
from chitram.ports.unit_of_work import Similar

CHUNK = 512


async def find_similar(
    statements: Statements, perceptual_hash: int, *, distance: int, exclude: str, limit: int
) -> Sequence[Similar]:
    """See ports.unit_of_work.ImageRepository.similar. Of equally near ones the newest comes first."""
    found: list[Similar] = []
    near = await near_blobs(statements, perceptual_hash, distance=distance)
    for bits in sorted(near):
        room = limit - len(found)
        if room <= 0:
            break
        records = await _newest_public(statements, near[bits], exclude=exclude, limit=room)
        found += [Similar(record, bits) for record in records]
    return found


async def near_blobs(statements: Statements, perceptual_hash: int, *, distance: int) -> dict[int, list[int]]:
    """Bits → ids of the blobs, in whatever state, whose hashes differ in so many, up to `distance` (0 to 16)."""
    keys = probe_keys(perceptual_hash, distance=distance)
    bits = BitDistance(perceptual_bands.c.hash, signed64(permuted(perceptual_hash)))
    statement = select(perceptual_bands.c.blob_id, bits).where(bits <= distance)
    distances: dict[int, int] = {}
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        rows = await statements.rows(statement.where(perceptual_bands.c.band_key.in_(chunk)))
        distances.update((row[0], row[1]) for row in rows)
    by_distance: defaultdict[int, list[int]] = defaultdict(list)
    for blob_id, blob_distance in distances.items():
        by_distance[blob_distance].append(blob_id)
    return by_distance


async def _newest_public(
    statements: Statements, blob_ids: Sequence[int], *, exclude: str, limit: int
) -> list[ImageRecord]:
    newest: list[ImageRecord] = []
    for start in range(0, len(blob_ids), CHUNK):
        rows = await statements.rows(
            select_records()
            .where(
                images.c.blob_id.in_(blob_ids[start : start + CHUNK]),
                images.c.visibility == Visibility.PUBLIC,
                images.c.id != exclude,
                IS_RENDERABLE,
            )
            .order_by(images.c.created_at.desc(), images.c.id.desc())
            .limit(limit)
        )
        newest += [record_of(row) for row in rows]
        newest.sort(key=lambda record: (record.image.created_at, record.image.id), reverse=True)
        del newest[limit:]
    return newest
