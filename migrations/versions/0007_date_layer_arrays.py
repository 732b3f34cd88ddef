"""Note when the arrays of a prediction's layers were made and what they take, so that they can be deleted by age."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("predictions", sa.Column("arrays_made_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("predictions", sa.Column("arrays_bytes", sa.BigInteger(), nullable=True))
    op.create_index("ix_predictions_arrays_made_at", "predictions", ["arrays_made_at"], unique=False)
    op.execute("UPDATE predictions SET arrays_made_at = created_at WHERE with_layers")


def downgrade() -> None:
    op.drop_index("ix_predictions_arrays_made_at", "predictions")
    with op.batch_alter_table("predictions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("arrays_bytes")
        batch.drop_column("arrays_made_at")
