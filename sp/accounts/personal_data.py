"""Export or remove all data about one person (GDPR, articles 15, 17 and 20).

If a person is removed, the account is deleted with its IDs at providers, its sessions and its trials. The person's
lines in the activity log and in the list of changes stay, because they count sign-ins and refusals. The lines in the
activity log keep time, event, code, provider and reference, and lose e-mail, ID, IP, browser, detail and trace. In the
list of changes, "removed account 17" replaces the e-mail, and lines about the account lose their detail. Lines about
changes that the person made keep their detail.

If the claims of a rejected token with a valid signature name the person, the line about this token also belongs to the
person; only the trace of the line shows this. Spent tokens and counters of wrong passwords identify the person only by
hashes, and expire: by default within a day. Held tokens of the account are deleted with its sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, or_, select, update

from shared.claims import find_claim
from sp.accounts.manage import COMMAND_LINE
from sp.activity import audit
from sp.activity.cleaning import MARK
from sp.activity.packing import unpack
from sp.activity.record import searched_as
from sp.database.access import Database
from sp.database.models import Account, Activity, Identity, SessionRecord, SettingsChange
from sp.emails import email_key
from sp.sessions.store import SessionStore

BATCH = 500  # lines that are read or changed at once

_account: Any = Account.__table__
_identity: Any = Identity.__table__
_session: Any = SessionRecord.__table__
_activity: Any = Activity.__table__
_change: Any = SettingsChange.__table__
_KEPT = {"id", "reference", "at", "event", "code", "provider", "times", "last_at"}  # kept if the person is removed
_BLANK = {column.name: None if column.nullable else "" for column in _activity.c if column.name not in _KEPT}
# Columns of secrets and of hashes of secrets, which say nothing about the person.
_NOT_GIVEN_OUT = {"password_hash", "id_hash", "opened_with", "token_key", "trace", "email_key"}

_SECONDS = {"at", "last_at", "created_at", "last_seen_at", "expires_at"}  # columns of whole seconds since 1970


@dataclass(frozen=True)
class Removed:
    """The number of ended sessions, and of lines that no longer name the person."""

    account_id: int
    sessions: int
    activity: int
    changes: int


class PersonalData:
    """Finds the stored data about a person, by e-mail."""

    def __init__(self, database: Database, sessions: SessionStore) -> None:
        self._database, self._sessions = database, sessions

    def export(self, email: str) -> Mapping[str, Any] | None:
        """Return all stored data about the person, or None if there is no account."""
        with self._database.reading() as connection:
            account = _find(connection, email)
            if account is None:
                return None
            own = _identity.c.account_id == account.id, _session.c.account_id == account.id
            return {
                "account": _as_json(account),
                "identities": _all(connection, _identity, own[0], _identity.c.provider),
                "sessions": _all(connection, _session, own[1], _session.c.created_at),
                "activity": _activity_of(connection, account),
                "changes": _all(connection, _change, _changes_of(account.email), _change.c.id),
            }

    def remove(self, email: str) -> Removed | None:
        """Remove the person, at once and in one transaction. Return None if there is no account."""
        with self._database.reading() as connection:  # reading traces takes too long for a write transaction
            account = _find(connection, email)
            by_trace = [] if account is None else [*_lines_by_trace(connection, account)]
        with self._database.writing() as connection:
            account = _find(connection, email)
            if account is None:
                return None
            name = f"removed account {account.id}"
            lines = _blank(connection, _lines_of(connection, account))
            for ids in _in_batches(by_trace):
                lines += _blank(connection, and_(_activity.c.id.in_(ids), _activity.c.trace.is_not(None)))
            about = update(_change).where(_change.c.subject == account.email).values(subject=name, detail={})
            by = update(_change).where(_change.c.actor == account.email).values(actor=name)
            changes = connection.execute(about).rowcount + connection.execute(by).rowcount
            ended = self._sessions.end_within(connection, account_id=account.id)
            connection.execute(delete(_account).where(_account.c.id == account.id))
            audit.record(connection, COMMAND_LINE, "account removed", name)
        self._sessions.forget()
        return Removed(account.id, ended, lines, changes)


def _find(connection: Connection, email: str) -> Any:
    return connection.execute(
        select(_account).where(_account.c.email_key == bindparam("key")).with_for_update(), {"key": email_key(email)}
    ).first()


def _lines_of(connection: Connection, account: Any) -> ColumnElement[bool]:
    """Return the condition for the person's lines: by account, by e-mail, and by ID at a provider."""
    ids = [
        and_(_activity.c.provider == known.provider, _activity.c.subject == known.subject)
        for known in _identities(connection, account)
    ]
    return or_(_activity.c.account_id == account.id, _activity.c.email == searched_as(account.email), *ids)


def _identities(connection: Connection, account: Any) -> Any:
    return connection.execute(select(_identity).where(_identity.c.account_id == account.id)).all()


def _lines_by_trace(connection: Connection, account: Any) -> Iterator[int]:
    """Yield the numbers of lines of rejected tokens with a valid signature whose claims name the person."""
    known_as = {(known.provider, known.claim or "sub", known.subject) for known in _identities(connection, account)}
    query = (
        select(_activity.c.id, _activity.c.provider, _activity.c.trace)
        .where(_activity.c.code.is_not(None), _activity.c.account_id.is_(None), _activity.c.trace.is_not(None))
        .order_by(_activity.c.id)
        .limit(BATCH)
    )
    last = 0
    while rows := connection.execute(query.where(_activity.c.id > last)).all():
        last = rows[-1].id
        for row in rows:
            facts = unpack(row.trace)
            claims = facts.claims or {}
            if facts.key is not None and (
                _is_email(claims.get("email"), account.email)
                or any(row.provider == name and find_claim(claims, claim) == id_ for name, claim, id_ in known_as)
            ):
                yield row.id


def _is_email(value: object, email: str) -> bool:
    """Tell whether *value* is the e-mail, even if the trace has only the beginning of it."""
    if not isinstance(value, str):
        return False
    if value.endswith(MARK) and "@" in value:
        return searched_as(email).startswith(searched_as(value[:-1]))
    return searched_as(value) == searched_as(email)


def _activity_of(connection: Connection, account: Any) -> list[dict[str, Any]]:
    found = _all(connection, _activity, _lines_of(connection, account), _activity.c.id)
    for ids in _in_batches([*_lines_by_trace(connection, account)]):
        found += _all(connection, _activity, _activity.c.id.in_(ids), _activity.c.id)
    return [line for _id, line in sorted({line["id"]: line for line in found}.items())]


def _in_batches(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def _blank(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.execute(update(_activity).where(which).values(**_BLANK)).rowcount


def _changes_of(email: str) -> ColumnElement[bool]:
    return or_(_change.c.subject == email, _change.c.actor == email)


def _all(connection: Connection, table: Any, which: ColumnElement[bool], order: Any) -> list[dict[str, Any]]:
    return [_as_json(row) for row in connection.execute(select(table).where(which).order_by(order))]


def _as_json(row: Any) -> dict[str, Any]:
    """Return a row as JSON values, with times as in RFC 3339."""
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
