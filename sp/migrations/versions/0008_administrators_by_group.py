"""administrators by group

The provider whose group makes an account an administrator's. Nodes of the previous version do not know such
administrators, and leave the column as it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("account", sa.Column("admin_through", sa.String(60)))
    op.create_index("ix_account_admin_through", "account", ["admin_through"])


def downgrade() -> None:
    op.drop_index("ix_account_admin_through", "account")
    op.drop_column("account", "admin_through")
