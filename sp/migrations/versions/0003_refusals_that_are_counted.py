"""refusals that are counted in one line, and a code for wrong passwords

No column is dropped and no new one is required, so nodes of the previous version keep working until they are restarted.
Columns with a constant default are added at once, however large the table is; the update reads the table once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("activity", sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column("activity", sa.Column("last_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE activity SET code = 'wrong_password' WHERE event = 'refused' AND code IS NULL")


def downgrade() -> None:
    op.execute("UPDATE activity SET code = NULL WHERE code = 'wrong_password'")
    op.drop_column("activity", "last_at")
    op.drop_column("activity", "times")
