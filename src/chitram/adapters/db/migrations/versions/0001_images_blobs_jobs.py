"""Images, blobs, their perceptual hashes, the outbox and the leases."""

import secrets
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001_images_blobs_jobs"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What was true when this was released: later changes of the program must not change it, so nothing of it is imported.
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_LIVE = "state = 'live'"


def _text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes on both databases."""
    kind = sa.Text if length is None else sa.String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table."""
    _create_blobs()
    _create_images()
    op.create_table(
        "perceptual_bands",
        sa.Column("band_key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("blob_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("band_key", "blob_id", name="pk_perceptual_bands"),
        sqlite_with_rowid=False,
    )
    _create_jobs()
    op.create_table(
        "leases",
        sa.Column("name", _text(64), nullable=False),
        sa.Column("holder", _text(128), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    identity = op.create_table(
        "identity", sa.Column("id", _text(32), nullable=False), sa.PrimaryKeyConstraint("id", name="pk_identity")
    )
    op.bulk_insert(identity, [{"id": secrets.token_hex(8)}])


def downgrade() -> None:
    """Drop every table."""
    for table in ("identity", "leases", "jobs", "perceptual_bands", "images", "blobs"):
        op.drop_table(table)


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("sha256", _text(64), nullable=False),
        sa.Column("generation", _text(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", _text(64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("thumbnail_type", _text(64)),
        sa.Column("pipeline_version", sa.Integer(), nullable=False),
        sa.Column("perceptual_hash", sa.BigInteger()),
        sa.Column("placeholder", _text(128)),
        sa.Column("broken_reason", _text(64)),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("verified_at", _MOMENT),
        sa.Column("condemned_at", _MOMENT),
        sa.Column("corrupt_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("sha256", "generation", name="uq_blobs_sha256_generation"),
        sa.CheckConstraint("size >= 0", name=op.f("ck_blobs_size")),
        sa.CheckConstraint("state IN ('live', 'condemned', 'erasing')", name=op.f("ck_blobs_state")),
        sqlite_autoincrement=True,
    )
    _partial_index("ix_blobs_live_size", ["size"], where=_LIVE)
    _partial_index("uq_blobs_present_sha256", ["sha256"], where="state != 'erasing'", unique=True)
    _partial_index("ix_blobs_condemned", ["condemned_at", "id"], where="state = 'condemned'")
    _partial_index("ix_blobs_erasing", ["state", "id"], where="state = 'erasing'")
    _partial_index(
        "ix_blobs_renderable",
        ["pipeline_version", "id"],
        where=f"{_LIVE} AND broken_reason IS NULL AND corrupt_at IS NULL",
    )
    _partial_index("ix_blobs_broken", ["state", "id"], where=f"{_LIVE} AND broken_reason IS NOT NULL")
    _partial_index("ix_blobs_corrupt", ["state", "id"], where=f"{_LIVE} AND corrupt_at IS NOT NULL")
    _partial_index("ix_blobs_verified", ["verified_at", "id"], where=f"{_LIVE} AND verified_at IS NOT NULL")
    _partial_index("ix_blobs_never_verified", ["created_at", "id"], where=f"{_LIVE} AND verified_at IS NULL")


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", _text(11), nullable=False),
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("filename", _text(255), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("delete_token_hash", _text(64)),
        sa.Column("received_sha256", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name="fk_images_blob_id_blobs", ondelete="RESTRICT"),
        sa.CheckConstraint("visibility IN ('public', 'unlisted', 'private')", name=op.f("ck_images_visibility")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_images_blob_id", "images", ["blob_id"])
    op.create_index("ix_images_visibility_created_at_id", "images", ["visibility", "created_at", "id"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_at", _MOMENT, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT),
        sa.Column("last_error", _text()),
        sa.Column("key", _text(128)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint("kind IN ('render', 'invalidate')", name=op.f("ck_jobs_kind")),
        sa.CheckConstraint("state IN ('ready', 'running', 'dead')", name=op.f("ck_jobs_state")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state_run_at_id", "jobs", ["state", "run_at", "id"])
    op.create_index("ix_jobs_state_lease_until_id", "jobs", ["state", "lease_until", "id"])
    where = sa.text("state IN ('ready', 'dead') AND key IS NOT NULL")
    op.create_index("uq_jobs_waiting_key", "jobs", ["key"], unique=True, sqlite_where=where, postgresql_where=where)


def _partial_index(name: str, columns: Sequence[str], *, where: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "blobs", list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition)
