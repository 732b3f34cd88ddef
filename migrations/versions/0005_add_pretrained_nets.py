"""Add pretrained nets, and what a model started from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pretrained_nets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("origin", sa.JSON(), nullable=False),
        sa.Column("topology_name", sa.String(length=255), nullable=False),
        sa.Column("prototxt", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("preprocessing", sa.JSON(), nullable=False),
        sa.Column("layers", sa.JSON(), nullable=False),
        sa.Column("remarks", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_pretrained_nets_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_pretrained_nets_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pretrained_nets")),
        sa.UniqueConstraint("job_id", name=op.f("uq_pretrained_nets_job_id")),
        sqlite_autoincrement=True,  # an id is never given twice: folders and fences rely on it
    )
    op.create_index(op.f("ix_pretrained_nets_user_id"), "pretrained_nets", ["user_id"], unique=False)
    op.add_column("models", sa.Column("start_from", sa.String(length=40), nullable=True))
    op.add_column("models", sa.Column("start", sa.JSON(), nullable=True))
    op.create_index(op.f("ix_models_start_from"), "models", ["start_from"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_models_start_from"), table_name="models")
    op.drop_column("models", "start")
    op.drop_column("models", "start_from")
    op.drop_index(op.f("ix_pretrained_nets_user_id"), table_name="pretrained_nets")
    op.drop_table("pretrained_nets")
