"""What retention needs: when artifacts and cache entries were last used, and blobs with names of their own."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from nx_dte.coordinator.store.sql.types import UtcTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ARTIFACTS = sa.table(
    "artifacts",
    sa.column("workspace_id", sa.String),
    sa.column("artifact_id", sa.String),
    sa.column("blob_key", sa.Text),
    sa.column("last_used_at", UtcTime),
)
_CACHE_ENTRIES = sa.table("cache_entries", sa.column("last_used_at", UtcTime))


def upgrade() -> None:
    """Change the schema; blobs that are there keep their names, and count as used today."""
    for table in ("artifacts", "cache_entries"):
        op.add_column(
            table, sa.Column("last_used_at", UtcTime(), nullable=False, server_default="1970-01-01 00:00:00")
        )
    op.add_column("artifacts", sa.Column("blob_key", sa.Text(), nullable=False, server_default=""))
    now = datetime.now(UTC)
    columns = _ARTIFACTS.c
    folder = sa.func.substr(columns.artifact_id, 1, 2)
    key = columns.workspace_id + "/" + folder + "/" + columns.artifact_id
    op.execute(_ARTIFACTS.update().values(blob_key=key, last_used_at=now))
    op.execute(_CACHE_ENTRIES.update().values(last_used_at=now))
    op.create_table(
        "loose_blobs",
        sa.Column("blob_key", sa.String(length=512), nullable=False),
        sa.Column("is_condemned", sa.Boolean(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("blob_key", name=op.f("pk_loose_blobs")),
    )
    _indexes()


def _indexes() -> None:
    op.create_index("ix_artifacts_last_used_at", "artifacts", ["last_used_at", "size"])
    op.create_index("uq_artifacts_blob_key", "artifacts", ["blob_key"], unique=True)
    op.create_index("ix_cache_entries_artifact", "cache_entries", ["workspace_id", "artifact_id"])
    op.create_index("ix_cache_entries_last_used_at", "cache_entries", ["last_used_at"])
    op.create_index("ix_leases_ci_run_id", "leases", ["ci_run_id"])
    op.create_index("ix_leases_agent_id", "leases", ["agent_id"])
    op.create_index(
        "ix_tasks_artifact",
        "tasks",
        ["artifact_id"],
        sqlite_where=sa.text("artifact_id IS NOT NULL"),
        postgresql_where=sa.text("artifact_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Change it back; blobs written since are not found any more, as their names were kept here."""
    for table, index in (
        ("tasks", "ix_tasks_artifact"),
        ("leases", "ix_leases_agent_id"),
        ("leases", "ix_leases_ci_run_id"),
        ("cache_entries", "ix_cache_entries_last_used_at"),
        ("cache_entries", "ix_cache_entries_artifact"),
        ("artifacts", "uq_artifacts_blob_key"),
        ("artifacts", "ix_artifacts_last_used_at"),
    ):
        op.drop_index(index, table_name=table)
    op.drop_table("loose_blobs")
    op.drop_column("artifacts", "blob_key")
    op.drop_column("artifacts", "last_used_at")
    op.drop_column("cache_entries", "last_used_at")
