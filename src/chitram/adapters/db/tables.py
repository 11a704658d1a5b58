"""The tables. Every constraint is named, every index is there for a query that a repository makes."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    literal_column,
)

from chitram.adapters.db.column_types import Unsigned64, UtcDateTime, enum_column, serial_id
from chitram.domain.blobs import BlobState
from chitram.domain.images import Visibility
from chitram.domain.jobs import JobKind, JobState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

blobs = Table(
    "blobs",
    metadata,
    Column("id", serial_id(), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("generation", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content_type", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("state", enum_column(BlobState, name="state"), nullable=False),
    Column("thumbnail_type", String(64)),
    Column("pipeline_version", Integer, nullable=False),
    Column("perceptual_hash", Unsigned64),
    Column("placeholder", String(128)),
    Column("broken_reason", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("verified_at", UtcDateTime),
    Column("condemned_at", UtcDateTime),
    Column("corrupt_at", UtcDateTime),
    UniqueConstraint("sha256", "generation"),
    CheckConstraint("size >= 0", name="size"),
    # Numbers of removed rows are never given again: jobs and logs name blobs by them.
    sqlite_autoincrement=True,
)

images = Table(
    "images",
    metadata,
    Column("id", String(11), primary_key=True),
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="RESTRICT"), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("visibility", enum_column(Visibility, name="visibility"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delete_token_hash", String(64)),
    Column("received_sha256", String(64), nullable=False),
    Index(None, "blob_id"),
    # The public list reads it backwards, newest first.
    Index(None, "visibility", "created_at", "id"),
    # The look-up by id is one descent of one tree.
    sqlite_with_rowid=False,
)

#: Four rows a blob: `band_key` is the number of a 16-bit band and its value, `hash` all 64 bits in permuted order. The
#: primary key is the whole table, in order, so that one range read answers one probe. A foreign key would need a second
#: index of the same size; BlobRepository keeps the rows in step.
perceptual_bands = Table(
    "perceptual_bands",
    metadata,
    Column("band_key", Integer, primary_key=True, autoincrement=False),
    Column("blob_id", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", serial_id(), primary_key=True),
    Column("kind", enum_column(JobKind, name="kind"), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", enum_column(JobState, name="state"), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("last_error", Text),
    Column("key", String(128)),
    Index(None, "state", "run_at", "id"),
    Index(None, "state", "lease_until", "id"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", UtcDateTime, nullable=False),
)


def _partial_index(name: str, *columns: Column[object], where: ColumnElement[bool], unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# A partial index serves only queries that repeat its condition word for word, so conditions are written once, without
# bound parameters, and used in both places.
IS_PRESENT: ColumnElement[bool] = blobs.c.state != literal_column("'erasing'")
IS_LIVE: ColumnElement[bool] = blobs.c.state == literal_column("'live'")
IS_CONDEMNED: ColumnElement[bool] = blobs.c.state == literal_column("'condemned'")
IS_ERASING: ColumnElement[bool] = blobs.c.state == literal_column("'erasing'")
IS_RENDERABLE = and_(IS_LIVE, blobs.c.broken_reason.is_(None), blobs.c.corrupt_at.is_(None))
IS_BROKEN = and_(IS_LIVE, blobs.c.broken_reason.is_not(None))
IS_CORRUPT = and_(IS_LIVE, blobs.c.corrupt_at.is_not(None))
IS_VERIFIED = and_(IS_LIVE, blobs.c.verified_at.is_not(None))
IS_NEVER_VERIFIED = and_(IS_LIVE, blobs.c.verified_at.is_(None))


def holds_key(table: FromClause) -> ColumnElement[bool]:
    """A job that waits or was given up stands in the way of another one with the same key."""
    # The words of the partial index, or the planner does not see that it applies.
    held = table.c.state.in_((literal_column("'ready'"), literal_column("'dead'")))
    return and_(held, table.c.key.is_not(None))


HOLDS_KEY = holds_key(jobs)

# It does not begin with the state: the planner would prefer that equality to the order of the indexes below.
_partial_index("ix_blobs_live_size", blobs.c.size, where=IS_LIVE)
_partial_index("uq_blobs_present_sha256", blobs.c.sha256, where=IS_PRESENT, unique=True)
_partial_index("ix_blobs_condemned", blobs.c.condemned_at, blobs.c.id, where=IS_CONDEMNED)
_partial_index("ix_blobs_erasing", blobs.c.state, blobs.c.id, where=IS_ERASING)
_partial_index("ix_blobs_renderable", blobs.c.pipeline_version, blobs.c.id, where=IS_RENDERABLE)
_partial_index("ix_blobs_broken", blobs.c.state, blobs.c.id, where=IS_BROKEN)
_partial_index("ix_blobs_corrupt", blobs.c.state, blobs.c.id, where=IS_CORRUPT)
_partial_index("ix_blobs_verified", blobs.c.verified_at, blobs.c.id, where=IS_VERIFIED)
_partial_index("ix_blobs_never_verified", blobs.c.created_at, blobs.c.id, where=IS_NEVER_VERIFIED)
_partial_index("uq_jobs_waiting_key", jobs.c.key, where=HOLDS_KEY, unique=True)

#: One row: a random name, by which a store recognises the database that names its objects.
identity = Table("identity", metadata, Column("id", String(32), primary_key=True))
