"""Create the table of previewed first batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "first_batches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("images", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_first_batches_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_first_batches_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_first_batches")),
        sa.UniqueConstraint("job_id", name=op.f("uq_first_batches_job_id")),
        sqlite_autoincrement=True,  # an id is never given twice: folders and fences rely on it
    )
    with op.batch_alter_table("first_batches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_first_batches_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_first_batches_dataset_id"), ["dataset_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_first_batches_key"), ["key"], unique=False)


def downgrade() -> None:
    op.drop_table("first_batches")
    op.execute("DELETE FROM jobs WHERE kind = 'draw_batch'")  # the version before knows no such work
