"""sessions at further sites

The site at which a browser's session is valid. NULL means the home site. Nodes of the previous version know only the
home site, so they open no session at another site.
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
