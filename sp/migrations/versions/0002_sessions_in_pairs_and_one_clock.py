"""sessions that end together, and one time of the newest token for each account

No column is dropped and no new one is required, so nodes of the previous version keep working until they are restarted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

IN_PAIRS = sa.text("opened_with IS NOT NULL")
NEWEST = sa.text(
    "UPDATE account SET synchronised_at = newest.issued_at FROM"
    " (SELECT account_id, MAX(issued_at) AS issued_at FROM identity GROUP BY account_id) AS newest"
    " WHERE newest.account_id = account.id"
)
BACK = sa.text(
    "UPDATE identity SET issued_at = account.synchronised_at FROM account WHERE account.id = identity.account_id"
)


def upgrade() -> None:
    op.add_column("session", sa.Column("opened_with", sa.LargeBinary(length=32), nullable=True))
    op.create_index("session_opened_with", "session", ["opened_with"], sqlite_where=IN_PAIRS, postgresql_where=IN_PAIRS)
    op.add_column(
        "account", sa.Column("synchronised_at", sa.Float(precision=53), server_default=sa.text("0"), nullable=False)
    )
    op.execute(NEWEST)


def downgrade() -> None:
    # Not in batches: on SQLite they create a new table, and dropping the old one ends every session of an account.
    op.execute(BACK)
    op.drop_column("account", "synchronised_at")
    op.drop_index("session_opened_with", "session")
    op.drop_column("session", "opened_with")
