"""sessions at further sites

The site that a browser's session is for; NULL is home. Nodes of the previous version know home only, so they open no
session at a site.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("session", sa.Column("site", sa.String(60)))


def downgrade() -> None:
    op.execute("DELETE FROM session WHERE site IS NOT NULL")
    op.drop_column("session", "site")
