"""the claim that each id came from

Ids of different claims are different ids, so the claim becomes part of the key. An existing id gets the claim that its
provider's field matching names. If several claims are possible, it stays empty until the person's next sign-in. Nodes
of the previous version also leave it empty, until they are restarted.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = "provider, subject, account_id, issued_at, created_at"
# The previous version cannot distinguish them, and would confuse two people. A person whose id is removed here gets the
# account back by the e-mail, if the provider's settings allow that.
FORGET_LIKE_IDS = sa.text(
    "DELETE FROM identity WHERE EXISTS (SELECT 1 FROM identity AS other WHERE other.provider = identity.provider"
    " AND other.subject = identity.subject AND other.claim <> identity.claim)"
)
_provider = sa.table("provider", sa.column("name", sa.String), sa.column("settings", sa.JSON))
_identity = sa.table(
    "identity", sa.column("provider", sa.String), sa.column("subject", sa.String), sa.column("claim", sa.String)
)


def upgrade() -> None:
    _rebuild(sa.Column("claim", sa.String(length=100), server_default=sa.text("''"), nullable=False))
    connection = op.get_bind()
    for row in connection.execute(sa.select(_provider.c.name, _provider.c.settings)).all():
        for claim, conditions in _known(row.settings.get("mapping", {})):
            ours = sa.update(_identity).where(_identity.c.provider == row.name, *conditions)
            connection.execute(ours.values(claim=claim))


def downgrade() -> None:
    op.execute(FORGET_LIKE_IDS)
    _rebuild()


def _known(mapping: dict[str, Any]) -> Iterator[tuple[str, tuple[sa.ColumnElement[bool], ...]]]:
    """Yield each claim of the field matching, and the condition for ids that came from it."""
    ids, addresses = _names(mapping.get("id")), _names(mapping.get("email"))
    others = [name for name in ids if name not in addresses]
    if ids and not others:
        yield "email", ()
    elif len(ids) == 1:
        yield ids[0], ()
    elif len(others) == 1:  # every e-mail has an @; an id with an @ may come from either claim
        yield others[0], (_identity.c.subject.not_like("%@%"),)


def _names(claims: Any) -> list[str]:
    return [claims] if isinstance(claims, str) else list(claims or ())


def _rebuild(*more: sa.Column[str]) -> None:
    """Create the table again with another key, because SQLite cannot change one. No other table refers to it."""
    op.execute(f"CREATE TABLE identity_before AS SELECT {COLUMNS} FROM identity")  # noqa: S608  names only
    op.drop_table("identity")
    op.create_table(
        "identity",
        sa.Column("provider", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        *more,
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issued_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("provider", "subject", *(column.name for column in more)),
        sa.UniqueConstraint("provider", "account_id"),
    )
    op.create_index("ix_identity_account_id", "identity", ["account_id"])
    op.execute(f"INSERT INTO identity ({COLUMNS}) SELECT {COLUMNS} FROM identity_before")  # noqa: S608  names only
    op.drop_table("identity_before")
