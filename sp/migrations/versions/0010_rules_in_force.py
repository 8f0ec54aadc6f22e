"""rules in force

The sites and rules that were last put in force, for `config plan`. Nodes of the previous version do not know the table.
"""

import sqlalchemy as sa
from alembic import op

from shared.utc_datetime import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "rules_in_force",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sites", sa.JSON, nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("rules_in_force")
