"""Define the gateway's tables and their meaning.

Frequently used tables (spent tokens, sessions) store time in whole seconds since 1970, all others as aware datetimes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from shared.utc_datetime import UtcDateTime


class Base(DeclarativeBase):
    # Not `type_annotation_map`: Flask-SQLAlchemy derives from this class, and SQLAlchemy takes that name only once.
    registry = registry(type_annotation_map={datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON})


db = SQLAlchemy(model_class=Base)

RowId = BigInteger().with_variant(Integer, "sqlite")

# Compared and ordered by code point in every database, so that pages of a list have no gaps.
KeyText = String(1024).with_variant(String(1024, collation="C"), "postgresql")


class ProviderRecord(Base):
    """An identity provider's settings; sp.providers explains them."""

    __tablename__ = "provider"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    settings: Mapped[dict[str, Any]]
    managed_by_file: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ProviderKey(Base):
    """A key of a provider, encrypted. `position` 0 is the newest. All keys verify, the first one signs."""

    __tablename__ = "provider_key"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    provider: Mapped[str] = mapped_column(ForeignKey("provider.name", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    sealed: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]


class KeyCopy(Base):
    """The keys that a provider's key endpoint last published, encrypted.

    These copies are used after a restart if the endpoint does not answer.
    """

    __tablename__ = "key_copy"

    provider: Mapped[str] = mapped_column(String(60), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)


class SettingsRevision(Base):
    """One row, which counts changes of the settings. Every worker notices a change within SP_SESSION_CACHE seconds."""

    __tablename__ = "settings_revision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int]


class SettingsChange(Base):
    """A line of the audit trail of settings: who changed what, and when. It never contains a secret."""

    __tablename__ = "settings_change"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(320))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(320), index=True)
    detail: Mapped[dict[str, Any]]


class RulesInForce(Base):
    """One row with the sites and rules that were last put in force (see `sp.sites.stored`). It contains no secret."""

    __tablename__ = "rules_in_force"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sites: Mapped[list[Any]] = mapped_column(JSON)
    changed_at: Mapped[datetime]


class Account(Base):
    """An account. Applications see the e-mail, which is unique in its normalised form, `email_key`.

    `synchronised_at` is the iat of the newest token, of any provider, that the profile was synchronised with.
    `is_admin` was set by hand. `admin_through` is the provider whose group makes this account an administrator, in
    sessions that this provider opened.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(KeyText, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    given_name: Mapped[str | None] = mapped_column(Text)
    family_name: Mapped[str | None] = mapped_column(Text)
    login: Mapped[str | None] = mapped_column(Text)
    groups: Mapped[list[str]]
    attributes: Mapped[dict[str, Any]]
    is_active: Mapped[bool] = mapped_column(index=True)
    is_admin: Mapped[bool] = mapped_column(index=True)
    admin_through: Mapped[str | None] = mapped_column(String(60), index=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    last_sign_in_at: Mapped[datetime | None]
    synchronised_at: Mapped[float] = mapped_column(Float(53), server_default=text("0"))


class Identity(Base):
    """The id of an account at a provider. `issued_at` is the iat of the token that linked it.

    `claim` is the claim that the id came from, because a sub that looks like an e-mail is a different id from that
    e-mail. It is "email" for an e-mail, and empty in a row of an older version until the person signs in.
    """

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("provider", "account_id"),)

    provider: Mapped[str] = mapped_column(String(60), primary_key=True)
    subject: Mapped[str] = mapped_column(String(512), primary_key=True)
    claim: Mapped[str] = mapped_column(String(100), primary_key=True, server_default=text("''"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    issued_at: Mapped[float] = mapped_column(Float(53))
    created_at: Mapped[datetime]


class SpentToken(Base):
    """A jti that was used. The key is a hash of (provider, jti). The row is kept as long as the token would be valid.

    `session_hash` and `pending_hash` identify the browser that used it.
    """

    __tablename__ = "spent_token"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    session_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    pending_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    return_path: Mapped[str | None] = mapped_column(Text)


class HeldToken(Base):
    """A spent token whose person is asked "Continue as X?" (see sp.sessions.held). `key` is the spent token's key."""

    __tablename__ = "held_token"
    __table_args__ = (Index("held_token_of_provider", "provider", "subject"),)

    key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    pending_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    provider: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(512))
    email_key: Mapped[str] = mapped_column(KeyText, index=True)
    provider_session: Mapped[str | None] = mapped_column(String(512))
    claims: Mapped[dict[str, Any]]


class SessionRecord(Base):
    """A session of a browser (cookie), or of a client without a browser (access token). Only the id's hash is stored.

    `site` is the further site at which the session is open; NULL means home. `opened_with` is the browser's session at
    home to which this session belongs, if it belongs to one. Then this session is an access token that was issued with
    the session at home, or a session at a further site. Both sessions end together, but an access token that is revoked
    ends alone (see sp.sessions.ending).
    """

    __tablename__ = "session"
    __table_args__ = (Index("session_of_provider", "provider", "subject"),)

    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str | None] = mapped_column(String(60))
    subject: Mapped[str | None] = mapped_column(String(512))
    provider_session: Mapped[str | None] = mapped_column(String(512), index=True)
    claims: Mapped[dict[str, Any]]
    created_at: Mapped[int] = mapped_column(BigInteger)
    last_seen_at: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(200))
    return_path: Mapped[str] = mapped_column(Text)
    opened_with: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    site: Mapped[str | None] = mapped_column(String(60))


_opened_with: Any = SessionRecord.__table__.c.opened_with
_is_beside = text("opened_with IS NOT NULL")  # few sessions have it, and the index contains only these
Index("session_opened_with", _opened_with, sqlite_where=_is_beside, postgresql_where=_is_beside)


class Activity(Base):
    """Each sign-in, rejection, restart, question, hand-over, trial and sign-out, by reference. It contains no token.

    `email` is stored with A-Z in lower case, as it is searched; see `sp.activity.record.searched_as`. A line with a
    `last_at` counts similar rejections: `times` of them, from `at` to `last_at`; see `sp.activity.folds`. `trace`
    contains all other facts, packed by `sp.activity.packing`; lists do not read it.
    """

    __tablename__ = "activity"
    __table_args__ = (
        Index("activity_of_account", "account_id", "at"),
        Index("activity_of_subject", "provider", "subject", "at"),
        Index("activity_of_email", "email", "id"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    reference: Mapped[str] = mapped_column(String(16), unique=True)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    event: Mapped[str] = mapped_column(String(20))
    code: Mapped[str | None] = mapped_column(String(40))
    provider: Mapped[str | None] = mapped_column(String(60))
    subject: Mapped[str | None] = mapped_column(String(512))
    email: Mapped[str | None] = mapped_column(String(254))
    account_id: Mapped[int | None] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str | None] = mapped_column(Text)
    token_key: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    times: Mapped[int] = mapped_column(server_default=text("1"))
    last_at: Mapped[int | None] = mapped_column(BigInteger)
    trace: Mapped[bytes | None] = mapped_column(LargeBinary)


_activity: Any = Activity.__table__
# Only rejections have a code, so these two indexes cost no time at a successful sign-in.
_has_code = text("code IS NOT NULL")
Index("activity_of_code", _activity.c.code, _activity.c.id, sqlite_where=_has_code, postgresql_where=_has_code)
Index("activity_refused", _activity.c.id, sqlite_where=_has_code, postgresql_where=_has_code)


class Margin(Base):
    """What was measured at the accepted sign-ins of a provider in one hour; see `sp.activity.margins`.

    `hour` is in hours since 1970. `times` is the number of values, and `total` is their sum.
    """

    __tablename__ = "margin"

    provider: Mapped[str] = mapped_column(String(60), primary_key=True)
    quantity: Mapped[str] = mapped_column(String(20), primary_key=True)
    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, index=True)
    times: Mapped[int] = mapped_column(BigInteger)
    least: Mapped[float] = mapped_column(Float(53))
    most: Mapped[float] = mapped_column(Float(53))
    total: Mapped[float] = mapped_column(Float(53))


class AssertionKey(Base):
    """A private ES256 key, encrypted. It signs the assertions for applications behind a proxy."""

    __tablename__ = "assertion_key"

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class Counter(Base):
    """The number of password attempts within a time, by IP network, account or known browser, without correct ones."""

    __tablename__ = "counter"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int]
    ends_at: Mapped[datetime] = mapped_column(index=True)


class Trial(Base):
    """A trial sign-in of an administrator, with the result that a real sign-in would have. It opens no session."""

    __tablename__ = "trial"

    id: Mapped[str] = mapped_column(String(43), primary_key=True)
    provider: Mapped[str] = mapped_column(String(60))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    started_at: Mapped[int] = mapped_column(BigInteger, index=True)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
