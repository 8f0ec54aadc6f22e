"""Give out, or remove, everything that is kept about one person (GDPR, articles 15, 17 and 20).

Removing deletes the account with its IDs at providers, its sessions and its trials. The person's lines in the activity
log and in the list of changes stay, because they count sign-ins and refusals. They keep time, event, code, provider and
reference, and lose e-mail, ID, IP, browser, detail and trace. Lines about the account then name "removed account 17".
What expires within a day (spent tokens, counters of wrong passwords) has hashes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, or_, select, update

from sp.accounts.manage import COMMAND_LINE
from sp.activity import audit
from sp.activity.packing import unpack
from sp.activity.record import searched_as
from sp.database.access import Database
from sp.database.models import Account, Activity, Identity, SessionRecord, SettingsChange
from sp.emails import email_key
from sp.sessions.store import SessionStore

_account: Any = Account.__table__
_identity: Any = Identity.__table__
_session: Any = SessionRecord.__table__
_activity: Any = Activity.__table__
_change: Any = SettingsChange.__table__
_KEPT = {"id", "reference", "at", "event", "code", "provider", "times", "last_at"}  # of a line whose person is removed
_BLANK = {column.name: None if column.nullable else "" for column in _activity.c if column.name not in _KEPT}
# Secrets, and hashes of secrets: they are about our keys, not about the person.
_NOT_GIVEN_OUT = {"password_hash", "id_hash", "opened_with", "token_key", "trace", "email_key"}

_SECONDS = {"at", "last_at", "created_at", "last_seen_at", "expires_at"}  # columns of whole seconds since 1970


@dataclass(frozen=True)
class Removed:
    """What was removed: sessions ended, and lines that no longer name the person."""

    account_id: int
    sessions: int
    activity: int
    changes: int


class PersonalData:
    """What the gateway keeps about a person, found by e-mail."""

    def __init__(self, database: Database, sessions: SessionStore) -> None:
        self._database, self._sessions = database, sessions

    def export(self, email: str) -> Mapping[str, Any] | None:
        """Return everything that is kept about the person, or None if there is no account."""
        with self._database.reading() as connection:
            account = _find(connection, email)
            if account is None:
                return None
            own = _identity.c.account_id == account.id, _session.c.account_id == account.id
            return {
                "account": _as_json(account),
                "identities": _all(connection, _identity, own[0], _identity.c.provider),
                "sessions": _all(connection, _session, own[1], _session.c.created_at),
                "activity": _all(connection, _activity, _lines_of(connection, account), _activity.c.id),
                "changes": _all(connection, _change, _changes_of(account.email), _change.c.id),
            }

    def remove(self, email: str) -> Removed | None:
        """Remove the person, at once and in one transaction; None if there is no account."""
        with self._database.writing() as connection:
            account = _find(connection, email)
            if account is None:
                return None
            name = f"removed account {account.id}"
            lines = connection.execute(update(_activity).where(_lines_of(connection, account)).values(**_BLANK))
            about = update(_change).where(_change.c.subject == account.email).values(subject=name, detail={})
            by = update(_change).where(_change.c.actor == account.email).values(actor=name)
            changes = connection.execute(about).rowcount + connection.execute(by).rowcount
            ended = self._sessions.end_within(connection, account_id=account.id)
            connection.execute(delete(_account).where(_account.c.id == account.id))
            audit.record(connection, COMMAND_LINE, "account removed", name)
        self._sessions.forget()
        return Removed(account.id, ended, lines.rowcount, changes)


def _find(connection: Connection, email: str) -> Any:
    return connection.execute(
        select(_account).where(_account.c.email_key == bindparam("key")).with_for_update(), {"key": email_key(email)}
    ).first()


def _lines_of(connection: Connection, account: Any) -> ColumnElement[bool]:
    """Return the condition for the person's lines: by account, by e-mail, and by ID at a provider."""
    known_as = connection.execute(
        select(_identity.c.provider, _identity.c.subject).where(_identity.c.account_id == account.id)
    ).all()
    ids = [and_(_activity.c.provider == known.provider, _activity.c.subject == known.subject) for known in known_as]
    return or_(_activity.c.account_id == account.id, _activity.c.email == searched_as(account.email), *ids)


def _changes_of(email: str) -> ColumnElement[bool]:
    return or_(_change.c.subject == email, _change.c.actor == email)


def _all(connection: Connection, table: Any, which: ColumnElement[bool], order: Any) -> list[dict[str, Any]]:
    return [_as_json(row) for row in connection.execute(select(table).where(which).order_by(order))]


def _as_json(row: Any) -> dict[str, Any]:
    """Return a row in types of JSON; times as RFC 3339 has them."""
    kept = {
        name: _time(value) if isinstance(value, datetime) or (name in _SECONDS and value is not None) else value
        for name, value in row._mapping.items()
        if name not in _NOT_GIVEN_OUT
    }
    trace = row._mapping.get("trace")
    return kept | {"trace": asdict(unpack(trace))} if trace else kept


def _time(value: datetime | int) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
