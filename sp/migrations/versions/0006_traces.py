"""traces: the facts about each attempt, in its line of the activity log

A nullable column without a default is added at once, however large the table is. Earlier lines have no trace, and nodes
of the previous version write lines without a trace until they are restarted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("activity", sa.Column("trace", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("activity", "trace")
