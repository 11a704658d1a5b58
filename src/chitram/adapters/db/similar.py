"""Near-duplicates: probe the bands, then look up the images of the nearest blobs until enough are found."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, or_, select

from chitram.adapters.db.column_types import signed64
from chitram.adapters.db.dialects import BitDistance, is_one_of
from chitram.adapters.db.perceptual import permuted, probe_keys
from chitram.adapters.db.records import record_of, select_records
from chitram.adapters.db.statements import Statements
from chitram.adapters.db.tables import IS_RENDERABLE, blobs, images, perceptual_bands
from chitram.domain.images import ImageRecord, Visibility
from chitram.ports.repositories.images import Similar

CHUNK = 512
#: Candidates that are looked at, nearest first. So many hashes alike are no longer a question of similarity.
MAX_NEAR = 20_000


async def find_similar(
    statements: Statements,
    perceptual_hash: int,
    *,
    distance: int,
    exclude: str,
    limit: int,
    owner_id: str | None = None,
) -> Sequence[Similar]:
    """See ports.repositories.images.ImageRepository.similar. Of equally near ones the newest comes first."""
    found: list[Similar] = []
    near = await near_blobs(statements, perceptual_hash, distance=distance)
    for bits in sorted(near):
        room = limit - len(found)
        if room <= 0:
            break
        records = await _newest_shown(statements, near[bits], exclude=exclude, limit=room, owner_id=owner_id)
        found += [Similar(record, bits) for record in records]
    return found


async def near_blobs(statements: Statements, perceptual_hash: int, *, distance: int) -> dict[int, list[int]]:
    """Bits → ids of the blobs, in whatever state, whose hashes differ in so many, up to `distance` (0 to 16)."""
    keys = probe_keys(perceptual_hash, distance=distance)
    bits = BitDistance(perceptual_bands.c.hash, signed64(permuted(perceptual_hash)))
    statement = select(perceptual_bands.c.blob_id, bits).where(
        is_one_of(perceptual_bands.c.band_key, keys, dialect=statements.dialect), bits <= distance
    )
    statement = statement.order_by(bits).limit(MAX_NEAR)
    # A blob is found once for each of its bands that are near enough.
    found = {tuple(row) for row in await statements.rows(statement)}
    by_distance: defaultdict[int, list[int]] = defaultdict(list)
    for blob_id, blob_distance in sorted(found):
        by_distance[blob_distance].append(blob_id)
    return by_distance


async def _newest_shown(
    statements: Statements, blob_ids: Sequence[int], *, exclude: str, limit: int, owner_id: str | None
) -> list[ImageRecord]:
    newest: list[ImageRecord] = []
    for start in range(0, len(blob_ids), CHUNK):
        rows = await statements.rows(
            select_records()
            .where(
                blobs.c.id.in_(blob_ids[start : start + CHUNK]),
                _is_shown_to(owner_id),
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


def _is_shown_to(owner_id: str | None) -> ColumnElement[bool]:
    # A function of the column, or the planner walks the whole public list, or the owner's, for the sake of its order.
    is_public = func.lower(images.c.visibility) == Visibility.PUBLIC.value
    return is_public if owner_id is None else or_(is_public, images.c.owner_id == owner_id)
