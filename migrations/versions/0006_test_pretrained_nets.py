"""Let a prediction be of a pretrained net, which has no snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

AUTOINCREMENT = {"sqlite_autoincrement": True}  # SQLite copies the table; an id is never given twice


def upgrade() -> None:
    with op.batch_alter_table("predictions", table_kwargs=AUTOINCREMENT) as batch:
        batch.alter_column("model_id", existing_type=sa.Integer(), nullable=True)
        batch.alter_column("snapshot_id", existing_type=sa.Integer(), nullable=True)
        batch.add_column(sa.Column("pretrained_id", sa.Integer(), nullable=True))
        batch.create_foreign_key(
            "fk_predictions_pretrained_id_pretrained_nets",
            "pretrained_nets",
            ["pretrained_id"],
            ["id"],
            ondelete="CASCADE",
        )
        batch.create_index("ix_predictions_pretrained_id", ["pretrained_id"], unique=False)


def downgrade() -> None:
    op.execute("DELETE FROM predictions WHERE model_id IS NULL")
    with op.batch_alter_table("predictions", table_kwargs=AUTOINCREMENT) as batch:
        batch.drop_index("ix_predictions_pretrained_id")
        batch.drop_constraint("fk_predictions_pretrained_id_pretrained_nets", type_="foreignkey")
        batch.drop_column("pretrained_id")
        batch.alter_column("snapshot_id", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("model_id", existing_type=sa.Integer(), nullable=False)
