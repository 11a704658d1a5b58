"""Databases of earlier releases with data in them, and what a database holds, read without the program."""

import sqlite3
from contextlib import closing
from pathlib import Path

from chitram.adapters.db import migrate
from tests.factories.databases import database_url

FIRST = "0001_images_blobs_jobs"
FIRST_TABLES = {"blobs", "identity", "images", "jobs", "leases", "perceptual_bands"}
TABLES = FIRST_TABLES | {"api_tokens", "familiar_addresses", "idempotency_keys", "invites", "sessions", "users"}
INSERT_IMAGE = (
    "INSERT INTO images (id, blob_id, filename, visibility, created_at, delete_token_hash, received_sha256) VALUES"
)
MOMENT = "2026-01-0{} 12:00:00.000001"


def fill_first(path: Path, *, images: int = 3) -> None:
    """A database as the first released schema has it, with rows in every table."""
    migrate.upgrade(database_url(path), revision=FIRST)
    visibilities = ("public", "unlisted", "private")
    with closing(sqlite3.connect(path)) as connection:
        for number in (1, 2, 3):
            connection.execute(
                "INSERT INTO blobs VALUES (?, ?, 'g', 1000, 'image/jpeg', 64, 48, 'live', NULL, 1, -5, 'p', NULL, "
                "?, NULL, NULL, NULL)",
                (number, f"{number:064x}", MOMENT.format(number)),
            )
        connection.executemany(
            f"{INSERT_IMAGE} (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    f"image{number:06d}", 1 + number % 3, f"చిత్రం {number}.jpg", visibilities[number % 3],
                    MOMENT.format(1 + number % 9), f"{number:064x}" if number % 2 else None, f"{number:064x}",
                )
                for number in range(images)
            ],
        )  # fmt: skip
        connection.execute("INSERT INTO perceptual_bands VALUES (1, 1, -5)")
        connection.execute(
            "INSERT INTO jobs VALUES (7, 'render', '{}', 'ready', 0, ?, ?, NULL, NULL, 'k')", (MOMENT.format(1),) * 2
        )
        connection.execute("INSERT INTO leases VALUES ('l', 'h', ?)", (MOMENT.format(1),))
        connection.commit()


def schema(path: Path) -> dict[str, str]:
    """Name → definition of every table and index, spaces aside."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: "".join(sql.split()) for name, sql in rows if not name.startswith(("sqlite_", "alembic_"))}


def contents(path: Path) -> dict[str, list[dict[str, object]]]:
    """Table → its rows in order, as column → value."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY 1")]
            for name in sorted(schema(path).keys() & TABLES)
        }
