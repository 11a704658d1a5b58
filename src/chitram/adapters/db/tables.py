"""The tables. Every constraint is named, every index is there for a query that a repository makes."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    and_,
    func,
    literal_column,
)

from chitram.adapters.db.column_types import ScopeSet, Unsigned64, UtcDateTime, enum_column, plain_text, serial_id
from chitram.domain.blobs import BlobState
from chitram.domain.images import Visibility
from chitram.domain.jobs import JobKind, JobState
from chitram.domain.sessions import SessionKind
from chitram.domain.users import Role

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _of_user() -> Column[str]:
    """The account that a row belongs to, and goes with."""
    return Column("user_id", plain_text(11), ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


blobs = Table(
    "blobs",
    metadata,
    Column("id", serial_id(), primary_key=True),
    Column("sha256", plain_text(64), nullable=False),
    Column("generation", plain_text(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content_type", plain_text(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("state", enum_column(BlobState, name="state"), nullable=False),
    Column("thumbnail_type", plain_text(64)),
    Column("pipeline_version", Integer, nullable=False),
    Column("perceptual_hash", Unsigned64),
    Column("placeholder", plain_text(128)),
    Column("broken_reason", plain_text(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("verified_at", UtcDateTime),
    Column("condemned_at", UtcDateTime),
    Column("corrupt_at", UtcDateTime),
    UniqueConstraint("sha256", "generation"),
    CheckConstraint("size >= 0", name="size"),
    # Numbers of removed rows are never given again: jobs and logs name blobs by them.
    sqlite_autoincrement=True,
)

#: Every request of an account reads its row by its id, and every upload counts in it.
users = Table(
    "users",
    metadata,
    Column("id", plain_text(11), primary_key=True),
    Column("email", plain_text(254), nullable=False),
    # Comparing takes some characters apart into many, so that this may be longer than the e-mail.
    Column("email_key", plain_text(), nullable=False),
    Column("password_hash", plain_text(255), nullable=False),
    Column("role", enum_column(Role, name="role"), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("quota_bytes", BigInteger),
    Column("quota_files", BigInteger),
    Column("used_bytes", BigInteger, nullable=False),
    Column("used_files", BigInteger, nullable=False),
    UniqueConstraint("email_key"),
    CheckConstraint("used_bytes >= 0", name="used_bytes"),
    CheckConstraint("used_files >= 0", name="used_files"),
    sqlite_with_rowid=False,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", plain_text(64), primary_key=True),
    _of_user(),
    Column("kind", enum_column(SessionKind, name="kind"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("address", plain_text(), nullable=False),
    Column("user_agent", plain_text(), nullable=False),
    Index(None, "user_id", "created_at", "id"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

#: Whom limits count when an account is signed in from there: no row for each address of a network, none for a session.
familiar_addresses = Table(
    "familiar_addresses",
    metadata,
    Column(
        "user_id", plain_text(11), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    ),
    Column("subject", plain_text(), primary_key=True),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Index(None, "last_seen_at"),
    sqlite_with_rowid=False,
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", plain_text(11), primary_key=True),
    _of_user(),
    Column("name", plain_text(100), nullable=False),
    Column("token_hash", plain_text(64), nullable=False),
    Column("scopes", ScopeSet, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    UniqueConstraint("token_hash"),
    Index(None, "user_id", "created_at", "id"),
    sqlite_with_rowid=False,
)

#: `created_by` is a note, and outlives the account that it names.
invites = Table(
    "invites",
    metadata,
    Column("code_hash", plain_text(64), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("created_by", plain_text(11)),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

#: `image_id` outlives the image: an upload that was deleted meanwhile is not done again.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", plain_text(), primary_key=True),
    Column("key_hash", plain_text(64), primary_key=True),
    Column("holder", plain_text(128), nullable=False),
    Column("held_until", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("fingerprint", plain_text(255)),
    Column("image_id", plain_text(11)),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

images = Table(
    "images",
    metadata,
    Column("id", plain_text(11), primary_key=True),
    Column("blob_id", BigInteger, ForeignKey("blobs.id", ondelete="RESTRICT"), nullable=False),
    Column("filename", plain_text(255), nullable=False),
    Column("visibility", enum_column(Visibility, name="visibility"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delete_token_hash", plain_text(64)),
    Column("received_sha256", plain_text(64), nullable=False),
    # Without a word on what a deletion does, which refuses it as RESTRICT would: those words cannot be read back from
    # a column that SQLite added later, and so could not be compared with what is said here.
    Column("owner_id", plain_text(11), ForeignKey("users.id")),
    Column("title", plain_text(200)),
    # The longest comes last: what stands before it is read without the rest of the row.
    Column("description", plain_text()),
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
    Column("last_error", plain_text()),
    Column("key", plain_text(128)),
    Index(None, "state", "run_at", "id"),
    Index(None, "state", "lease_until", "id"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", plain_text(64), primary_key=True),
    Column("holder", plain_text(128), nullable=False),
    Column("until", UtcDateTime, nullable=False),
)


def _partial_index(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool], unique: bool = False) -> None:
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
#: Every comparison of the owner says as much, so that these indexes serve it; images without one cost nothing there.
IS_OWNED: ColumnElement[bool] = images.c.owner_id.is_not(None)
IS_INVALIDATION: ColumnElement[bool] = jobs.c.kind == literal_column("'invalidate'")
#: What people know an image by, as lists by name are sorted. Only ASCII letters have a case there.
NAME_KEY: ColumnElement[str] = func.lower(func.coalesce(images.c.title, images.c.filename))


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
# The list of an account reads it backwards, newest first.
_partial_index("ix_images_owned", images.c.owner_id, images.c.created_at, images.c.id, where=IS_OWNED)
# The same list by name. SQLite reads expressions from an index, sorted, where a query has them word for word.
_partial_index("ix_images_names", images.c.owner_id, NAME_KEY, images.c.id, where=IS_OWNED)
# However often an account uploads the same bytes, its oldest image of them is the first entry.
_partial_index("ix_images_twins", images.c.owner_id, images.c.blob_id, images.c.created_at, images.c.id, where=IS_OWNED)
_partial_index("uq_jobs_waiting_key", jobs.c.key, where=HOLDS_KEY, unique=True)
_partial_index("ix_jobs_invalidations", jobs.c.kind, jobs.c.id, where=IS_INVALIDATION)

#: One row: a random name, by which a store recognises the database that names its objects.
identity = Table("identity", metadata, Column("id", plain_text(32), primary_key=True))
