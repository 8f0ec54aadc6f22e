"""Define the tables. Times are aware datetimes in UTC; secrets are encrypted or hashed before they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, registry, relationship

from shared.utc_datetime import UtcDateTime


class Base(DeclarativeBase):
    """All tables of the identity provider."""

    registry = registry(type_annotation_map={datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON})


db = SQLAlchemy(model_class=Base)


class PersonRow(Base):
    """A person of the default directory. `email_key` is the e-mail in lower case: unique, and used for the lookup."""

    __tablename__ = "people"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    given_name: Mapped[str] = mapped_column(String(200), default="")
    family_name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str] = mapped_column(String(255))
    disabled: Mapped[bool] = mapped_column(default=False)
    groups: Mapped[list[str]] = mapped_column(default=list)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class SessionRow(Base):
    """A signed-in browser. Only the hash of the cookie's value is here, so a stolen table cannot be used to sign in."""

    __tablename__ = "sessions"

    id_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[str] = mapped_column(String(255), index=True)
    email: Mapped[str] = mapped_column(String(254))
    signed_in_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    remembered: Mapped[bool] = mapped_column(default=False)
    participations: Mapped[list[ParticipationRow]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class ParticipationRow(Base):
    """A service that got a token in a session, and the sid by which it knows that session.

    `claims` are the claims that identified the person in the latest of those tokens. When the session ends, the
    sign-out token has the same claims.
    """

    __tablename__ = "participations"

    session: Mapped[str] = mapped_column(ForeignKey("sessions.id_hash", ondelete="CASCADE"), primary_key=True)
    service: Mapped[str] = mapped_column(String(60), primary_key=True)
    sid: Mapped[str] = mapped_column(String(64), unique=True)
    claims: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class ServiceRow(Base):
    """A registered service, stored as its entry in the services file.

    If `managed` is true, the service can be changed only in IDP_CONFIG. If `keys_given` is true, its keys come from the
    services file.
    """

    __tablename__ = "services"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    definition: Mapped[dict[str, Any]]
    managed: Mapped[bool] = mapped_column(default=False)
    keys_given: Mapped[bool] = mapped_column(default=False)
    keys: Mapped[list[ServiceKeyRow]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="ServiceKeyRow.position.desc()"
    )


class ServiceKeyRow(Base):
    """An encrypted key of a service. The highest position is the newest."""

    __tablename__ = "service_keys"

    service: Mapped[str] = mapped_column(ForeignKey("services.name", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    algorithm: Mapped[str] = mapped_column(String(8))
    signs_from: Mapped[datetime]
    accepted_until: Mapped[datetime | None]


class LogoutDeliveryRow(Base):
    """A pending sign-out notice to a service. `claimed_until` keeps two workers from sending it at the same time.

    An empty `sid` means every session of the person.
    """

    __tablename__ = "logout_deliveries"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    service: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(255))
    sid: Mapped[str] = mapped_column(String(64))
    claims: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(index=True)
    claimed_until: Mapped[datetime | None]


class CounterRow(Base):
    """A counter of attempts that restarts when its window ends."""

    __tablename__ = "counters"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int]
    ends_at: Mapped[datetime] = mapped_column(index=True)


FOLDED = text("fold IS NOT NULL")
REFUSED = text("event IN ('sign_in_refused', 'service_denied')")
"""Selects the rejections that a stranger or a signed-in person can cause without limit. Indexes need it as SQL text."""


class AuditRow(Base):
    """One event, for example a sign-in, a rejection or a sign-out. It never contains a token or a password.

    A row with a `fold` counts similar rejections: `times` is their number, `at` the time of the first one, and
    `last_at` the time of the last one. See idp/stores/refusals.py.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_token_id", "token_id"),
        Index("audit_fold", "fold", unique=True, sqlite_where=FOLDED, postgresql_where=FOLDED),
        Index("audit_refused", "id", sqlite_where=REFUSED, postgresql_where=REFUSED),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(String(40))
    email: Mapped[str] = mapped_column(String(254), default="")
    service: Mapped[str] = mapped_column(String(60), default="")
    address: Mapped[str] = mapped_column(String(45), default="")
    token_id: Mapped[str] = mapped_column(String(64), default="")
    detail: Mapped[str] = mapped_column(String(200), default="")
    times: Mapped[int] = mapped_column(server_default=text("1"))
    last_at: Mapped[datetime | None]
    fold: Mapped[str | None] = mapped_column(String(120))


@contextmanager
def writing() -> Iterator[Session]:
    """Run a transaction that writes. Commit it at the end, or roll it back if an exception is raised.

    The transaction takes the write lock at its beginning. In SQLite, a transaction that first reads and then writes
    would fail if another transaction wrote in between. Objects that were read before are discarded, so that no stale
    data is written back.
    """
    session: Session = db.session()
    session.rollback()
    session.connection(execution_options={"write": True})
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise
