"""The first tables: people, sessions, services with their keys, sign-outs to deliver, counters and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False, unique=True),
        sa.Column("given_name", sa.String(200), nullable=False),
        sa.Column("family_name", sa.String(200), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.String(255), nullable=False, index=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("signed_in_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False, index=True),
        sa.Column("remembered", sa.Boolean, nullable=False),
    )
    op.create_table(
        "participations",
        sa.Column("session", sa.String(64), sa.ForeignKey("sessions.id_hash", ondelete="CASCADE"), primary_key=True),
        sa.Column("service", sa.String(60), primary_key=True),
        sa.Column("sid", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "services",
        sa.Column("name", sa.String(60), primary_key=True),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("managed", sa.Boolean, nullable=False),
        sa.Column("keys_given", sa.Boolean, nullable=False),
    )
    op.create_table(
        "service_keys",
        sa.Column("service", sa.String(60), sa.ForeignKey("services.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("algorithm", sa.String(8), nullable=False),
        sa.Column("signs_from", MOMENT, nullable=False),
        sa.Column("accepted_until", MOMENT),
    )
    op.create_table(
        "logout_deliveries",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("service", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("sid", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False, index=True),
        sa.Column("claimed_until", MOMENT),
    )
    op.create_table(
        "counters",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False, index=True),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", MOMENT, nullable=False, index=True),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("service", sa.String(60), nullable=False),
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("token_id", sa.String(64), nullable=False, index=True),
        sa.Column("detail", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    for table in (
        "audit",
        "counters",
        "logout_deliveries",
        "service_keys",
        "services",
        "participations",
        "sessions",
        "people",
    ):
        op.drop_table(table)
