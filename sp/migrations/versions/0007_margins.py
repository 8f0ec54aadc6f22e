"""margins

The table stores, for each provider and hour, how near the accepted sign-ins were to a rejection. It begins empty, and
nodes of the previous version do not write to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "margin",
        sa.Column("provider", sa.String(60), primary_key=True),
        sa.Column("quantity", sa.String(20), primary_key=True),
        sa.Column("hour", sa.BigInteger(), primary_key=True),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("least", sa.Float(53), nullable=False),
        sa.Column("most", sa.Float(53), nullable=False),
        sa.Column("total", sa.Float(53), nullable=False),
    )
    op.create_index("ix_margin_hour", "margin", ["hour"])


def downgrade() -> None:
    op.drop_table("margin")
