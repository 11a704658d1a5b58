"""Accounts, their sessions and API tokens, invitations, idempotency keys, and images that belong to somebody."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002_accounts"
down_revision: str | None = "0001_images_blobs_jobs"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What was true when this was released: later changes of the program must not change it, so nothing of it is imported.
_MOMENT = sa.DateTime(timezone=True)


def _text(length: int | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared by its bytes on both databases."""
    kind = sa.Text if length is None else sa.String
    return kind(length).with_variant(kind(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of accounts, and room for an owner and for words on the images."""
    _create_users()
    _create_sessions()
    _create_familiar_addresses()
    _create_api_tokens()
    _create_invites()
    _create_idempotency_keys()
    _add_image_columns()


def downgrade() -> None:
    """Forget the accounts. Every image stays; those that had an owner are in nobody's hands."""
    op.drop_index("ix_images_twins", "images")
    op.drop_index("ix_images_owned", "images")
    for column in ("description", "title", "owner_id"):
        op.drop_column("images", column)
    for table in ("idempotency_keys", "invites", "api_tokens", "familiar_addresses", "sessions", "users"):
        op.drop_table(table)


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", _text(11), nullable=False),
        sa.Column("email", _text(254), nullable=False),
        sa.Column("email_key", _text(), nullable=False),
        sa.Column("password_hash", _text(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("quota_files", sa.BigInteger()),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_files", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
        sa.CheckConstraint("role IN ('user', 'admin')", name=op.f("ck_users_role")),
        sa.CheckConstraint("used_bytes >= 0", name=op.f("ck_users_used_bytes")),
        sa.CheckConstraint("used_files >= 0", name=op.f("ck_users_used_files")),
        sqlite_with_rowid=False,
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _text(64), nullable=False),
        sa.Column("user_id", _text(11), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("last_used_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("address", _text(), nullable=False),
        sa.Column("user_agent", _text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id_users", ondelete="CASCADE"),
        sa.CheckConstraint("kind IN ('bearer', 'browser')", name=op.f("ck_sessions_kind")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sessions_user_id_created_at_id", "sessions", ["user_id", "created_at", "id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])


def _create_familiar_addresses() -> None:
    op.create_table(
        "familiar_addresses",
        sa.Column("user_id", _text(11), nullable=False),
        sa.Column("subject", _text(), nullable=False),
        sa.Column("last_seen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "subject", name="pk_familiar_addresses"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_familiar_addresses_user_id_users", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_familiar_addresses_last_seen_at", "familiar_addresses", ["last_seen_at"])


def _create_api_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", _text(11), nullable=False),
        sa.Column("user_id", _text(11), nullable=False),
        sa.Column("name", _text(100), nullable=False),
        sa.Column("token_hash", _text(64), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_tokens_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_api_tokens_token_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_api_tokens_user_id_created_at_id", "api_tokens", ["user_id", "created_at", "id"])


def _create_invites() -> None:
    op.create_table(
        "invites",
        sa.Column("code_hash", _text(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("created_by", _text(11)),
        sa.PrimaryKeyConstraint("code_hash", name="pk_invites"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_invites_expires_at", "invites", ["expires_at"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", _text(), nullable=False),
        sa.Column("key_hash", _text(64), nullable=False),
        sa.Column("holder", _text(128), nullable=False),
        sa.Column("held_until", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("fingerprint", _text(255)),
        sa.Column("image_id", _text(11)),
        sa.PrimaryKeyConstraint("scope", "key_hash", name="pk_idempotency_keys"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])


def _add_image_columns() -> None:
    # Added, not rebuilt by a batch: that costs the same for a million images as for one, keeps the table without row
    # numbers and its constraints by their names. Both databases understand a named constraint beside its column, which
    # Alembic does not write.
    kind = _text(11).compile(dialect=op.get_context().dialect)
    op.execute(
        f"ALTER TABLE images ADD COLUMN owner_id {kind} CONSTRAINT fk_images_owner_id_users REFERENCES users (id)"
    )
    op.add_column("images", sa.Column("title", _text(200)))
    op.add_column("images", sa.Column("description", _text()))
    _owned_index("ix_images_owned", ["owner_id", "created_at", "id"])
    _owned_index("ix_images_twins", ["owner_id", "blob_id", "created_at", "id"])


def _owned_index(name: str, columns: Sequence[str]) -> None:
    condition = sa.text("owner_id IS NOT NULL")
    op.create_index(name, "images", list(columns), sqlite_where=condition, postgresql_where=condition)
