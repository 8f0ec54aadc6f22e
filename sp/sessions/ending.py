"""End sessions, by name or by a provider's sign-out, always with their families.

A family is a browser's session at home, the sessions at further sites that were opened with it, and an access token
from its sign-in. If a browser's session is ended, at home or at a further site, its whole family ends. There are two
exceptions, after which the rest of the family continues: only the access token is revoked, or a new session at a
further site replaces the old one there (`sp.sessions.at_sites`). Except for that replacement, all code of the gateway
ends sessions by one statement in this module, so no caller can forget the rest of a family.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, delete, func, or_, select

from shared.claims import Claims
from sp.database.models import Account, SessionRecord

if TYPE_CHECKING:
    from sp.sessions.provider_sign_out import SignOut

MAX_PROVIDER_SESSION = 512  # characters
Conditions = Sequence[ColumnElement[bool]]

_session: Any = SessionRecord.__table__
_beside: Any = _session.alias()
_account: Any = Account.__table__


def provider_session_of(claims: Claims) -> str | None:
    """Return the provider's name for its own session (`sid`), or None if it is missing or invalid.

    With this name, the provider can later end the gateway's session.
    """
    sid = claims.raw.get("sid")
    return sid if isinstance(sid, str) and 0 < len(sid) <= MAX_PROVIDER_SESSION and sid.isprintable() else None


def end_sessions(connection: Connection, conditions: Conditions) -> int:
    """End the sessions that meet all *conditions*, with their families. Return how many sessions ended."""
    if not conditions:
        raise ValueError("ending every session needs to be asked for by a condition")
    head = case((_session.c.site.is_not(None), _session.c.opened_with), else_=_session.c.id_hash)
    if connection.dialect.name == "postgresql":
        _lock_in_order(connection, select(head).where(*conditions))
    named = select(_session.c.id_hash, head.label("head")).where(*conditions).cte("named", nesting=True)
    heads = select(named.c.head)
    with_them = select(_beside.c.id_hash).where(_beside.c.opened_with.is_not(None), _beside.c.opened_with.in_(heads))
    # A union, because PostgreSQL would read the whole table for a condition with OR.
    ended = select(named.c.id_hash).union_all(heads, with_them).add_cte(named, nest_here=True)
    return connection.execute(delete(_session).where(_session.c.id_hash.in_(ended))).rowcount


def _lock_in_order(connection: Connection, heads: Any) -> None:
    """Lock the families' sessions at home in a fixed order.

    So two transactions that end the same families cannot deadlock.
    """
    in_order = select(_beside.c.id_hash).where(_beside.c.id_hash.in_(heads)).order_by(_beside.c.id_hash)
    connection.execute(in_order.with_for_update())


def by_name(id_hash: bytes | None, public_id: str | None, account_id: int | None) -> Conditions:
    """Return the conditions for sessions with this id hash, public id and account. For None, there is no condition."""
    named = ((_session.c.id_hash, id_hash), (_session.c.public_id, public_id), (_session.c.account_id, account_id))
    return [column == value for column, value in named if value is not None]


def by_password(account_id: int) -> Conditions:
    """Return the conditions for the sessions of an account that were opened with its local password."""
    return [_session.c.account_id == account_id, _session.c.provider.is_(None)]


def by_provider(sign_out: SignOut, only: bytes | None) -> Conditions:
    """Return the conditions for the sessions that a provider's sign-out names.

    If the sign-out names a session of the provider, it does not select sessions of the gateway that are known to belong
    to another session of the provider. *only* is the hash of a session's id. If it is given, no other session is
    selected.
    """
    account_ids = select(_account.c.id).where(_account.c.email_key.in_(sign_out.emails))
    conditions = named_by(sign_out, _session.c, _session.c.account_id.in_(account_ids))
    return conditions if only is None else [*conditions, _session.c.id_hash == only]


def named_by(sign_out: SignOut, columns: Any, has_email: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """Return the conditions for the rows that a sign-out names, in a table with the *columns* of a sign-in.

    *has_email* is the condition that the row's e-mail address is among the e-mail addresses in the sign-out.
    """
    person = [columns.subject.in_(sign_out.subjects)]
    if sign_out.sub is not None:
        person.append(columns.claims["sub"].as_string() == sign_out.sub)
    if sign_out.emails:
        # The e-mail may have belonged to another person before. So the ids in the sign-in and in the sign-out must not
        # differ.
        person.append(and_(has_email, *(_does_not_contradict(columns.claims, name) for name in sign_out.names)))
    named = or_(*person)
    if sign_out.sid is not None:
        named = or_(columns.provider_session == sign_out.sid, and_(columns.provider_session.is_(None), named))
    return [columns.provider == sign_out.provider, named]


def _does_not_contradict(claims: Any, name: tuple[str, str]) -> ColumnElement[bool]:
    """Return the condition that the sign-in has the same value for a claim as the sign-out, or has no such claim."""
    claim, value = name
    places = [claim, tuple(claim.split("."))] if "." in claim else [claim]  # as in `find_claim`
    said = func.coalesce(*(cast(claims[place].as_string(), Text) for place in places), None)
    return or_(said.is_(None), said == value)  # numbers are compared as text
