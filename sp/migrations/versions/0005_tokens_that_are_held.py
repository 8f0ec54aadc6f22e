"""tokens that are held

While a person is asked "Continue as X?", the token waits in this table, so that a sign-out in the meantime finds it.
Nodes of the previous version hold tokens without a row: if a newer node gets the answer, no session is opened.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    compared = sa.String(1024).with_variant(sa.String(1024, collation="C"), "postgresql")
    op.create_table(
        "held_token",
        sa.Column("key", sa.LargeBinary(16), primary_key=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("pending_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("provider", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("email_key", compared, nullable=False),
        sa.Column("provider_session", sa.String(512)),
        sa.Column("claims", sa.JSON(), nullable=False),
    )
    op.create_index("ix_held_token_expires_at", "held_token", ["expires_at"])
    op.create_index("held_token_of_provider", "held_token", ["provider", "subject"])
    op.create_index("ix_held_token_email_key", "held_token", ["email_key"])


def downgrade() -> None:
    op.drop_table("held_token")
