"""Databases with many images, made without uploading them."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Table, insert

from benchmarks.rig.servers import chitram
from chitram.adapters.db.engine import writer_engine
from chitram.adapters.db.tables import blobs, images
from chitram.domain.blobs import BlobState
from chitram.domain.images import Visibility

_START = datetime(2026, 1, 1, tzinfo=UTC)
#: Moments as SQLite keeps them, a second apart; digests that are as many.
_MOMENT = "strftime('%Y-%m-%d %H:%M:%S', '2026-01-01', number || ' seconds') || '.000000'"
_DIGEST = "printf('%064x', number)"


def image_id(number: int) -> str:
    """The id of the image `number`."""
    return f"{number:011d}"


def prepare_data(directory: Path, *, rows: int, owner_id: str | None = None) -> None:
    """Make the data directory of a server below `directory`, and `rows` public images in it, without bytes.

    `owner_id`: the account that has them all, in a directory that is there already.
    """
    with chitram(directory):
        pass  # the first start makes everything
    engine = writer_engine(directory / "data" / "chitram.db")
    with engine.begin() as connection:
        _add_first(connection, owner_id)
        _repeat(connection, blobs, rows, id="number", sha256=_DIGEST, perceptual_hash="number", created_at=_MOMENT)
        names = {"filename": "printf('IMG_%06d.jpg', number)", "received_sha256": _DIGEST}
        _repeat(connection, images, rows, id="printf('%011d', number)", blob_id="number", created_at=_MOMENT, **names)
    engine.dispose()


def _add_first(connection: Connection, owner_id: str | None) -> None:
    """The image that the others are copies of."""
    moment, digest = datetime.now(UTC), f"{1:064x}"
    blob = {
        "id": 1,
        "sha256": digest,
        "generation": "0123456789ab",
        "size": 3_000_000,
        "width": 4000,
        "height": 3000,
        "content_type": "image/jpeg",
        "state": BlobState.LIVE,
        "thumbnail_type": "image/jpeg",
        "pipeline_version": 1,
        "perceptual_hash": 1,
        "placeholder": "p" * 28,
        "created_at": _START,
        "verified_at": moment,
    }
    image = {
        "id": image_id(1),
        "blob_id": 1,
        "filename": "IMG_000001.jpg",
        "created_at": _START,
        "visibility": Visibility.PUBLIC,
        "delete_token_hash": None if owner_id else digest,
        "received_sha256": digest,
        "owner_id": owner_id,
    }
    connection.execute(insert(blobs), blob)
    connection.execute(insert(images), image)


def _repeat(connection: Connection, table: Table, rows: int, **expressions: str) -> None:
    """Copy the one row of `table` until there are `rows`; `expressions` of `number` are what differs."""
    names = [column.name for column in table.columns]
    values = ", ".join(expressions.get(name, f"first.{name}") for name in names)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(names)}) "
        "WITH RECURSIVE numbers(number) AS (SELECT 2 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?) "
        f"SELECT {values} FROM numbers, (SELECT * FROM {table.name}) AS first WHERE number <= ?",
        (rows, rows),
    )
