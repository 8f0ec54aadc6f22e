"""Keep the sessions of signed-in people on the server.

The browser has a random ID, and the database has only the hash of this ID. So a stolen table cannot be used to sign in,
and an ID cannot be guessed. A session ends in these cases:

- The person signs out, here or at a service.
- Someone signs in again in the same browser.
- An operator sets a new password for the person.
- There was no request for some time.
- The session reaches its absolute limit.
- The directory no longer finds the person, for example because the person was disabled.

A session also records which services took part in it, because they must be notified when the session ends.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import g
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from idp.context import context
from idp.issuer import naming_claims
from idp.models import ParticipationRow, SessionRow, db, writing
from idp.people import Person
from idp.services import ServiceUnknown
from idp.stores import audit, directory, outbox

ID_BYTES = 32  # 256 random bits; ASVS 5.0, 7.2.3 asks for 128
SEEN_EVERY = 60  # seconds between two writes of the last use: saves a write at every request


@dataclass(frozen=True)
class SignedInUser:
    """A live session and its person; Flask-Login's `current_user` of a signed-in browser."""

    id_hash: str
    person: Person
    signed_in_at: datetime
    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """Return the id of the session, for Flask-Login."""
        return self.id_hash


@dataclass(frozen=True)
class Ended:
    """How many sessions ended, the notices to services (see outbox), and the services that cannot be notified."""

    sessions: int
    notices: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


class SessionOver(Exception):
    """The session has ended since it was looked up, perhaps in another tab."""


def open_session(person: Person, *, stay: bool, before: SignedInUser | None = None) -> tuple[str, int | None]:
    """Sign *person* in. Return a new value for the cookie, and the cookie's age limit in seconds.

    If the limit is None, the cookie ends when the browser is closed. *before* is the earlier session of the browser,
    which ends. If *before* belonged to the same person, its services now belong to the new session. If it belonged to
    another person, its services are notified. Raises WrongCredentials if the person was disabled, or the password was
    changed, since the password was checked.
    """
    settings, now = context().settings, context().now()
    value = secrets.token_urlsafe(ID_BYTES)
    lifetime = settings.stay_signed_in if stay else settings.session_lifetime
    with writing() as session:
        if person.credential:
            directory.confirm(session, person)
        row = SessionRow(
            id_hash=_hash(value),
            person_id=person.id,
            email=person.email,
            signed_in_at=now,
            seen_at=now,
            ends_at=now + timedelta(seconds=lifetime),
            remembered=stay,
        )
        session.add(row)
        session.flush()
        if before is not None and (old := _locked_row(session, before)) is not None:
            if old.person_id == person.id:
                _hand_over(session, old, row)
            _end(session, [old], "signed in again")
        audit.record(session, "signed_in", email=person.email, detail="stay signed in" if stay else "")
    return value, lifetime if stay else None


def find_session(value: str | None) -> SignedInUser | None:
    """Return the live session that the cookie's *value* names, with its person looked up again, or None."""
    row = _live_row(value)
    if row is None:
        return None
    person = context().people.find(row.email)
    if person is None or person.id != row.person_id:
        return None
    signed_in = SignedInUser(row.id_hash, person, row.signed_in_at)
    _touch(row)
    return signed_in


def find_session_to_end(value: str | None) -> SignedInUser | None:
    """Return the live session without asking the directory: people can sign out while it is unavailable."""
    row = _live_row(value)
    return SignedInUser(row.id_hash, Person(row.person_id, row.email), row.signed_in_at) if row else None


def take_part(session: Session, signed_in: SignedInUser, service: str, claims: Mapping[str, str]) -> str:
    """Record that *service* gets a token in this session; return the session's `sid` for that service.

    *claims* identify the person in that token, and later in the sign-out token.

    Raises SessionOver if the person signed out meanwhile, because the service would not be notified of that sign-out.
    """
    if _locked_row(session, signed_in) is None:
        raise SessionOver
    row = session.get(ParticipationRow, (signed_in.id_hash, service))
    if row is None:
        row = ParticipationRow(session=signed_in.id_hash, service=service, sid=secrets.token_urlsafe(16))
        session.add(row)
    if row.claims != claims:
        row.claims = dict(claims)
    session.flush()
    return row.sid


def end_session(signed_in: SignedInUser, *, reason: str, asked_by: str = "") -> Ended:
    """End the session; notify every service that took part, except *asked_by*.

    The session ends and the notices are stored in one transaction, so a crash cannot lose a notice.
    """
    with writing() as session:
        row = _locked_row(session, signed_in)
        ended = _end(session, [row] if row else [], reason, asked_by)
    g.pop("_login_user", None)  # Flask-Login's copy for this request; the session is gone
    return ended


def end_sessions_of(person: Person, *, reason: str) -> Ended:
    """End every session of *person*, here and at every service that ever got a token for them.

    A service may keep its session longer than we keep ours, so the notice names the person, not single sessions.
    """
    with writing() as session:
        rows = session.scalars(select(SessionRow).where(SessionRow.person_id == person.id)).all()
        known = [(part.service, part.claims) for row in rows for part in row.participations]
        for row in rows:
            _forget(session, row, reason)
        services = {service for service, _claims in known}
        known += [(service, _claims_at(service, person)) for service in audit.services_of(person.email) - services]
        distinct = {(service, tuple(sorted(claims.items()))) for service, claims in known}
        told = [(service, "", dict(claims)) for service, claims in sorted(distinct)]
        return Ended(len(rows), *_note(session, person.id, told))


def _locked_row(session: Session, signed_in: SignedInUser) -> SessionRow | None:
    """Return the row, locked by this transaction, so that no participation is added to a session while it ends."""
    return session.get(SessionRow, signed_in.id_hash, with_for_update=True, populate_existing=True)


def _hand_over(session: Session, old: SessionRow, new: SessionRow) -> None:
    moved = update(ParticipationRow).where(ParticipationRow.session == old.id_hash).values(session=new.id_hash)
    session.execute(moved)
    session.expire(old)


def _end(session: Session, rows: Sequence[SessionRow], reason: str, asked_by: str = "") -> Ended:
    notices: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    for row in rows:
        told = [(part.service, part.sid, part.claims) for part in row.participations if part.service != asked_by]
        more, without = _note(session, row.person_id, told)
        notices, untold = notices + more, untold + without
        _forget(session, row, reason, asked_by)
    return Ended(len(rows), notices, untold)


def _forget(session: Session, row: SessionRow, reason: str, asked_by: str = "") -> None:
    audit.record(session, "signed_out", email=row.email, service=asked_by, detail=reason)
    session.delete(row)


def _note(
    session: Session, person_id: str, told: Iterable[tuple[str, str, Mapping[str, str]]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the notices for the services in *told* (name, sid, claims), and the names of services without a notice."""
    notices, untold = [], []
    for service, sid, claims in told:
        notice = outbox.note(session, service, person_id, sid, claims)
        if notice is None:
            untold.append(service)
        else:
            notices.append(notice)
    return tuple(notices), tuple(untold)


def _claims_at(service: str, person: Person) -> dict[str, str]:
    """Return the claims that identify the person at *service* now."""
    try:
        return naming_claims(person, context().services.find(service))
    except ServiceUnknown:
        return {}


def _live_row(value: str | None) -> SessionRow | None:
    row = db.session.get(SessionRow, _hash(value)) if value else None
    return None if row is None or _is_over(row) else row


def _is_over(row: SessionRow) -> bool:
    settings, now = context().settings, context().now()
    idle = settings.stay_signed_in if row.remembered else settings.session_idle
    return now >= row.ends_at or now >= row.seen_at + timedelta(seconds=idle)


def _touch(row: SessionRow) -> None:
    now, id_hash = context().now(), row.id_hash
    if now >= row.seen_at + timedelta(seconds=SEEN_EVERY):
        with writing() as session:
            session.execute(update(SessionRow).where(SessionRow.id_hash == id_hash).values(seen_at=now))


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
