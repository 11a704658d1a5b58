"""The images of an account in the order of their names."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003_names_of_images"
down_revision: str | None = "0002_accounts"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make the index. No row is written again."""
    condition = sa.text("owner_id IS NOT NULL")
    columns: list[str | sa.TextClause] = ["owner_id", sa.text("lower(coalesce(title, filename))"), "id"]
    op.create_index("ix_images_names", "images", columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_images_names", "images")
