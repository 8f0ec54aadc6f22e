"""Store by which claims each service knows a person, so that a sign-out can use the same claims.

For sessions that are open during the upgrade, the e-mail address is stored, because every preset sends it. Nodes of the
old version keep working until their restart: they store no claims, and their sign-outs contain only sub and sid, as
before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("participations", "logout_deliveries")
OPEN = sa.text("SELECT sid, email FROM participations JOIN sessions ON sessions.id_hash = participations.session")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("claims", sa.JSON, nullable=False, server_default="{}"))
    named = sa.table("participations", sa.column("sid"), sa.column("claims", sa.JSON))
    connection = op.get_bind()
    values = [{"wanted": sid, "said": {"email": email}} for sid, email in connection.execute(OPEN)]
    if values:
        update = named.update().where(named.c.sid == sa.bindparam("wanted"))
        connection.execute(update.values(claims=sa.bindparam("said", type_=sa.JSON)), values)


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "claims")
