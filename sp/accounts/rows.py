"""Find, create and change accounts within the caller's transaction."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, exists, func, insert, literal_column, select, text, update

from shared.errors import EmailConflict, SeatLimitReached
from sp.accounts.provisioning import COLUMNS, AccountState, Admit, Create, Profile, decide
from sp.activity import audit
from sp.database.models import Account, Identity
from sp.database.prepared import Prepared, Sent
from sp.emails import email_as_id, email_key
from sp.providers.provider import Provider
from sp.providers.rows import granted_group

SEAT_LOCK = 0x73656174  # "seat" in ASCII: on PostgreSQL, only one first sign-in at a time may count seats

_account: Any = Account.__table__
_identity: Any = Identity.__table__
_STATE = (
    _account.c.id,
    _account.c.email,
    _account.c.is_active,
    _account.c.is_admin,
    _account.c.admin_through,
    _account.c.groups,
    _account.c.attributes,
    _account.c.synchronised_at,
    *(_account.c[name] for name in COLUMNS),
)


class _Found(NamedTuple):
    """The columns of _STATE, and `at_provider`.

    If the account was found by an id, `at_provider` is the claim of this id. If it was found by its e-mail,
    `at_provider` tells whether the account has any id at the provider.
    """

    id: int
    email: str
    is_active: bool
    is_admin: bool
    admin_through: str | None
    groups: list[str]
    attributes: dict[str, Any]
    synchronised_at: float
    name: str | None
    given_name: str | None
    family_name: str | None
    login: str | None
    at_provider: Any

    def state(self, *, has_identity_here: bool, identity_claim: str | None = None) -> AccountState:
        """Return the state that the decision needs."""
        return AccountState(
            id=self.id,
            email=self.email,
            is_active=self.is_active,
            is_admin=self.is_admin,
            fields={name: getattr(self, name) for name in COLUMNS},
            groups=tuple(self.groups),
            attributes=self.attributes,
            has_identity_here=has_identity_here,
            identity_claim=identity_claim,
            synchronised_at=self.synchronised_at,
            admin_through=self.admin_through,
        )


_BY_IDENTITY = Prepared(
    select(*_STATE, _identity.c.claim)
    .join(_identity, _identity.c.account_id == _account.c.id)
    .where(_identity.c.provider == bindparam("at"), _identity.c.subject == bindparam("who"))
    .where(_identity.c.claim.in_((bindparam("claim"), "")))
    .order_by(_identity.c.claim.desc())
    .with_for_update(),
    _Found._make,
)
_BY_EMAIL = Prepared(
    select(
        *_STATE,
        exists().where(_identity.c.account_id == _account.c.id, _identity.c.provider == bindparam("at")).label("here"),
    )
    .where(_account.c.email_key == bindparam("address"))
    .with_for_update(of=_account),
    _Found._make,
)
_SETTLE: Prepared[Any] = Prepared(
    update(_identity)
    .where(_identity.c.provider == bindparam("at"), _identity.c.subject == bindparam("who"), _identity.c.claim == "")
    .values(claim=bindparam("from_claim"))
)
_CHANGE: Prepared[Any] = Prepared(update(_account).where(_account.c.id == bindparam("account")))
_NEXT_ID = Prepared(select(literal_column("nextval(pg_get_serial_sequence('account', 'id'))")), operator.itemgetter(0))
_CREATE = Prepared(insert(_account).returning(_account.c.id), operator.itemgetter(0))
_LINK: Prepared[Any] = Prepared(insert(_identity).inline())


@dataclass(frozen=True)
class KnownAs:
    """An ID of a person at a provider."""

    provider: str
    subject: str
    created_at: datetime


@dataclass(frozen=True)
class Provisioned:
    """The person's account. `how` is "created", "found" by the ID, or "linked" by the e-mail.

    `changed` names the synchronised fields. `is_older` is True if nothing was synchronised, because a newer token was
    used before.
    """

    account_id: int
    email: str
    how: str
    changed: tuple[str, ...] = ()
    is_older: bool = False


class AccountLookup:
    """A query for the account that has the profile's ID, from the same claim, at *provider*.

    It is sent together with other statements, and its result is read later. The row is locked until the transaction
    ends. So an older token that arrives at the same moment waits, and an administrator who disables the account at this
    moment waits too.
    """

    def __init__(self, provider: str, profile: Profile) -> None:
        self._provider, self._profile = provider, profile

    def send(self, connection: Connection) -> None:
        """Send the query. `result` waits for its answer."""
        values = {"at": self._provider, "who": self._profile.subject, "claim": self._profile.subject_claim}
        self._sent = _BY_IDENTITY.send(connection, values)

    def result(self) -> AccountState | None:
        """Return the account, or None."""
        for row in self._sent.all():
            if row.at_provider or _may_be(row.email, self._profile):
                return row.state(has_identity_here=True, identity_claim=row.at_provider)
        return None


def provision(
    connection: Connection,
    profile: Profile,
    provider: Provider,
    seat_limit: int,
    now: datetime,
    lookup: AccountLookup,
) -> Provisioned:
    """Return the person's account, found or created; or raise the rejection. *lookup* was sent before."""
    known = lookup.result()
    new_id = _reserve_id(connection) if known is None else None
    try:
        decision = find_and_decide(connection, profile, provider, seat_limit, known)
    except (EmailConflict, SeatLimitReached):
        # On PostgreSQL, the person's first sign-in in another tab may have finished since the query.
        if known is not None:
            raise
        known = find_by_identity(connection, provider.name, profile)
        if known is None:
            raise
        decision = find_and_decide(connection, profile, provider, seat_limit, known)
    if isinstance(decision, Create):
        account_id = create(connection, profile, now, new_id)
        if decision.administers and _may_give(connection, provider):
            _give_right(connection, account_id, profile.email, provider)
        link(connection, account_id, provider.name, profile, now)
        return Provisioned(account_id, profile.email, "created")
    account = decision.account
    if decision.join:
        link(connection, account.id, provider.name, profile, now)
    if account.identity_claim == "":
        known_as = {"at": provider.name, "who": profile.subject, "from_claim": profile.subject_claim}
        _SETTLE.run(connection, known_as)
    changes = dict(decision.changes)
    if "admin_through" in changes:
        changes = _settle_right(connection, account, changes, provider)
    synchronise(connection, account, changes, profile, provider, now)
    return Provisioned(
        account.id,
        changes.get("email", account.email),
        "linked" if decision.join else "found",
        tuple(name for name in changes if name != "email_key"),
        profile.is_older_than(account),
    )


def find_and_decide(
    connection: Connection, profile: Profile, provider: Provider, seat_limit: int, known: AccountState | None
) -> Create | Admit:
    """Look up what `decide` needs, and return its decision, or raise its rejection.

    *known* is the account that has the ID, or None.
    """
    same_email = None
    if known is None or (provider.update_email and known.email != profile.email):
        same_email = find_by_email(connection, profile.email, provider.name)
    needs_seat = known is None and same_email is None and provider.auto_create
    free_seat = not needs_seat or has_free_seat(connection, seat_limit)
    return decide(profile, provider, known=known, same_email=same_email, free_seat=free_seat)


def _settle_right(
    connection: Connection, account: AccountState, changes: dict[str, Any], provider: Provider
) -> dict[str, Any]:
    """Record that the right to administer was granted or removed; return the changes left to write."""
    after = changes["admin_through"]
    if after is not None and not _may_give(connection, provider):
        return {name: value for name, value in changes.items() if name != "admin_through"}
    _record_right(connection, account.email, provider, account.admin_through, after)
    return changes


def _may_give(connection: Connection, provider: Provider) -> bool:
    """Tell whether the stored settings still name the group. This worker may have older settings in its cache."""
    return granted_group(connection, provider.name, lock=True) == provider.admin_group


def _give_right(connection: Connection, account_id: int, email: str, provider: Provider) -> None:
    """Make a new account an administrator by its group."""
    _CHANGE.run(connection, {"account": account_id, "admin_through": provider.name})
    _record_right(connection, email, provider, None, provider.name)


def _record_right(
    connection: Connection, email: str, provider: Provider, before: str | None, after: str | None
) -> None:
    action = "administrator by group" if after else "administrator no longer by group"
    audit.record(connection, provider.name, action, email, {"administrator through": [before, after]})


def find_by_identity(connection: Connection, provider: str, profile: Profile) -> AccountState | None:
    """Return the account that an `AccountLookup` finds, or None."""
    lookup = AccountLookup(provider, profile)
    lookup.send(connection)
    return lookup.result()


def _may_be(email: str, profile: Profile) -> bool:
    """Tell whether an id whose claim is unknown can be the profile's.

    If the id has an @, it may be an e-mail. Then the e-mail of the account must match too.
    """
    return "@" not in profile.subject or email_as_id(email) == email_as_id(profile.email)


def find_by_email(connection: Connection, email: str, provider: str) -> AccountState | None:
    """Return the account with this e-mail, and whether it has any id at *provider*, or None.

    The row is locked until the transaction ends, as with `find_by_identity`.
    """
    row = _BY_EMAIL.first(connection, {"at": provider, "address": email_key(email)})
    return row.state(has_identity_here=row.at_provider) if row else None


def active_count(connection: Connection) -> int:
    """Return the number of active accounts: the seats that are taken."""
    count: int = connection.execute(
        select(func.count()).select_from(_account).where(_account.c.is_active.is_(True))
    ).scalar_one()
    return count


def has_free_seat(connection: Connection, limit: int) -> bool:
    """Tell whether one more account may be active. Other transactions cannot count until this transaction ends."""
    if not limit:
        return True
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SEAT_LOCK})
    return active_count(connection) < limit


def _reserve_id(connection: Connection) -> Sent[int] | None:
    """On PostgreSQL, send a query for the ID of an account that may be created.

    Its answer comes with the answer to the next query. So the rows that name the account go to the server together
    with the account's row.
    """
    return _NEXT_ID.send(connection, {}) if connection.dialect.name == "postgresql" else None


def create(connection: Connection, profile: Profile, now: datetime, new_id: Sent[int] | None = None) -> int:
    """Insert the account of a first sign-in and return its id."""
    row = {
        "email": profile.email,
        "email_key": email_key(profile.email),
        "groups": list(profile.groups or ()),
        "attributes": dict(profile.attributes),
        "is_active": True,
        "is_admin": False,
        "created_at": now,
        "last_sign_in_at": now,
        "synchronised_at": profile.issued_at,
        **{name: profile.fields.get(name) for name in COLUMNS},
    }
    account_id = new_id.first() if new_id else _CREATE.first(connection, row)
    if account_id is None:
        raise RuntimeError("the database has not said which account it created")
    if new_id:
        _CREATE.run(connection, {"id": account_id, **row})
    return account_id


def link(connection: Connection, account_id: int, provider: str, profile: Profile, now: datetime) -> None:
    """Link *account_id* to the profile's id at *provider*."""
    row = {
        "provider": provider,
        "subject": profile.subject,
        "claim": profile.subject_claim,
        "account_id": account_id,
        "issued_at": profile.issued_at,
        "created_at": now,
    }
    _LINK.run(connection, row)


def synchronise(
    connection: Connection,
    account: AccountState,
    changes: Mapping[str, Any],
    profile: Profile,
    provider: Provider,
    now: datetime,
) -> None:
    """Write the changed columns, and the time of this token if its provider may synchronise the account.

    The account's row has one time for all its providers, because each sign-in locks and writes this row anyway. Times
    in the rows of its ids would not be enough: a transaction that waits for the lock reads the other rows as they were
    before.
    """
    may_change = provider.update_profile or provider.update_email or bool(provider.admin_group)
    newest = max(profile.issued_at, account.synchronised_at) if may_change else account.synchronised_at
    values = {"account": account.id, **changes, "last_sign_in_at": now, "synchronised_at": newest}
    _CHANGE.run(connection, values)


def identities_of(connection: Connection, account_id: int) -> tuple[KnownAs, ...]:
    """Return the IDs of an account at each provider. A person with one of these IDs signs in to this account."""
    query = (
        select(_identity.c.provider, _identity.c.subject, _identity.c.created_at)
        .where(_identity.c.account_id == account_id)
        .order_by(_identity.c.provider)
    )
    return tuple(KnownAs(*row) for row in connection.execute(query))


def note_sign_in(connection: Connection, account_id: int, now: datetime) -> None:
    """Record a sign-in with a local password, which has no token."""
    _CHANGE.run(connection, {"account": account_id, "last_sign_in_at": now})
