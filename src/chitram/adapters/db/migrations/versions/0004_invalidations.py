"""Invalidations that wait: servers that share a cache look at them all the time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004_invalidations"
down_revision: str | None = "0003_names_of_images"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make the index. No row is written again."""
    condition = sa.text("kind = 'invalidate'")
    op.create_index("ix_jobs_invalidations", "jobs", ["kind", "id"], sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_jobs_invalidations", "jobs")
