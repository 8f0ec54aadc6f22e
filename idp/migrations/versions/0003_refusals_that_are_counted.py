"""Count several rejections in one row, and index rejections, so that the oldest can be deleted.

No column is dropped, and each new column has a default or may be empty. So workers of the previous version keep working
until their restart.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FOLDED = sa.text("fold IS NOT NULL")
REFUSED = sa.text("event IN ('sign_in_refused', 'service_denied')")


def upgrade() -> None:
    op.add_column("audit", sa.Column("times", sa.Integer, nullable=False, server_default=sa.text("1")))
    op.add_column("audit", sa.Column("last_at", sa.DateTime(timezone=True)))
    op.add_column("audit", sa.Column("fold", sa.String(120)))
    op.create_index("audit_fold", "audit", ["fold"], unique=True, sqlite_where=FOLDED, postgresql_where=FOLDED)
    op.create_index("audit_refused", "audit", ["id"], sqlite_where=REFUSED, postgresql_where=REFUSED)


def downgrade() -> None:
    op.drop_index("audit_refused", "audit")
    op.drop_index("audit_fold", "audit")
    for column in ("fold", "last_at", "times"):
        op.drop_column("audit", column)
