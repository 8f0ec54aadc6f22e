"""End sessions: those named, those that a provider's sign-out names, and those opened with them.

An access token that a browser's sign-in handed out is a session beside the browser's, and ends with it, whoever ends
that and however. Every ending in the gateway is this module's one statement, so no caller can forget the second half.
The other way round, a browser's session goes on when its access token is revoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, delete, func, or_, select

from sp.models import Account, SessionRecord
from sp.signout_tokens import SignOut

Conditions = Sequence[ColumnElement[bool]]

_session: Any = SessionRecord.__table__
_beside: Any = _session.alias()
_account: Any = Account.__table__


def end_sessions(connection: Connection, conditions: Conditions) -> int:
    """End the sessions that fit every one of *conditions*, and those opened with them; return how many there were."""
    if not conditions:
        raise ValueError("ending every session needs to be asked for by a condition")
    ended = select(_session.c.id_hash).where(*conditions)
    with_them = select(_beside.c.id_hash).where(_beside.c.opened_with.is_not(None), _beside.c.opened_with.in_(ended))
    # A union, not a condition with OR: PostgreSQL would read the whole table for that.
    return connection.execute(delete(_session).where(_session.c.id_hash.in_(ended.union_all(with_them)))).rowcount


def by_name(id_hash: bytes | None, public_id: str | None, account_id: int | None) -> Conditions:
    """Return the conditions that name sessions by id, by public name, by account; None leaves one out."""
    named = ((_session.c.id_hash, id_hash), (_session.c.public_id, public_id), (_session.c.account_id, account_id))
    return [column == value for column, value in named if value is not None]


def by_password(account_id: int) -> Conditions:
    """Return the conditions for the sessions of an account that were opened with its local password."""
    return [_session.c.account_id == account_id, _session.c.provider.is_(None)]


def by_provider(sign_out: SignOut, only: bytes | None) -> Conditions:
    """Return the conditions for the sessions that a provider's sign-out names.

    A session whose name at the provider we know ends by that name alone, where the sign-out gives one. With *only*,
    the hash of a session's id, no other session is named.
    """
    person = [_session.c.subject.in_(sign_out.subjects)]
    if sign_out.sub is not None:
        person.append(_session.c.claims["sub"].as_string() == sign_out.sub)
    if sign_out.emails:
        account_ids = select(_account.c.id).where(_account.c.email_key.in_(sign_out.emails))
        # An address may have been another person's before: what the sign-in said of its ids must not contradict.
        person.append(and_(_session.c.account_id.in_(account_ids), *map(_does_not_contradict, sign_out.names)))
    named = or_(*person)
    if sign_out.sid is not None:
        named = or_(_session.c.provider_session == sign_out.sid, and_(_session.c.provider_session.is_(None), named))
    conditions = [_session.c.provider == sign_out.provider, named]
    return conditions if only is None else [*conditions, _session.c.id_hash == only]


def _does_not_contradict(name: tuple[str, str]) -> ColumnElement[bool]:
    """Return the condition that the sign-in gave for a claim what the sign-out gives, or nothing."""
    claim, value = name
    places = [claim, tuple(claim.split("."))] if "." in claim else [claim]  # as `find_claim` looks for it
    said = func.coalesce(*(cast(_session.c.claims[place].as_string(), Text) for place in places), None)
    return or_(said.is_(None), said == value)  # a number is compared as its digits
