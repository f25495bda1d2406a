"""When a coordinator was last at work, so that its own absence is nobody else's silence."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from nx_dte.coordinator.store.sql.types import UtcTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table with its only row: nobody has ever been at work."""
    presence = op.create_table(
        "presence",
        sa.Column("presence_id", sa.Integer(), nullable=False),
        sa.Column("at_work_at", UtcTime(), nullable=False),
        sa.CheckConstraint("presence_id = 1", name=op.f("ck_presence_only_one")),
        sa.PrimaryKeyConstraint("presence_id", name=op.f("pk_presence")),
    )
    op.bulk_insert(presence, [{"presence_id": 1, "at_work_at": datetime(1970, 1, 1, tzinfo=UTC)}])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("presence")
