"""Keep what an archive holds beside its classes, and the further uploads that a dataset is made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("holds", sa.JSON(), nullable=True))
    op.create_table(
        "source_uploads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("upload_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_source_uploads_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_source_uploads_upload_id_uploads"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_uploads")),
        sqlite_autoincrement=True,  # an id is never given twice: folders and fences rely on it
    )
    with op.batch_alter_table("source_uploads", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_source_uploads_dataset_id"), ["dataset_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_source_uploads_upload_id"), ["upload_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("source_uploads", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_source_uploads_upload_id"))
        batch_op.drop_index(batch_op.f("ix_source_uploads_dataset_id"))

    op.drop_table("source_uploads")
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.drop_column("holds")
