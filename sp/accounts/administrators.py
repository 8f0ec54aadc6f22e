"""Appoint and dismiss administrators, at the request of an administrator on a page.

If tokens can sign in to an account, the providers of these tokens control the account. So the page shows the ids of the
account, and the account becomes an administrator only if it has no other ids by then. At least one active administrator
always remains.

Only an administrator who was appointed by hand may appoint or dismiss others. A person who is an administrator by a
group loses this right when the group no longer gives it. So this person must not be able to make the right permanent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, select, update

from sp.accounts import rows as accounts
from sp.accounts.manage import ACTIVE_ADMINISTRATORS, ControlledByProviders, LastAdministrator
from sp.accounts.rows import KnownAs
from sp.activity import audit
from sp.database.access import Database
from sp.database.models import Account
from sp.sessions.store import SessionStore

_account: Any = Account.__table__


class NotByHand(Exception):
    """The requesting person was not appointed by hand; perhaps they are an administrator only by a group."""


class Administrators:
    """Appoints and dismisses administrators.

    A change takes effect at once here, and in other workers within SP_SESSION_CACHE.
    """

    def __init__(self, database: Database, sessions: SessionStore) -> None:
        self._database, self._sessions = database, sessions

    def appoint(self, account_id: int, *, shown: Collection[str], by: int) -> bool:
        """Make an active account an administrator; tell whether it was not one before.

        *by* is the account of the requesting person. *shown* are the ids that the page showed, as `id_text` writes
        them. Raises NotByHand. Raises ControlledByProviders if the account has other ids, for example one that was
        linked meanwhile.
        """
        with self._database.writing() as connection:
            # Lock the row: a sign-in that would link to the account at this moment waits, and then finds an
            # administrator.
            row = _locked(connection, account_id)
            actor = _email_of_administrator(connection, by)
            if row is None or not row.is_active or row.is_admin:
                return False
            kept = accounts.identities_of(connection, account_id)
            if {id_text(known) for known in kept} - {*shown}:
                raise ControlledByProviders(kept)
            _set(connection, account_id, is_admin=True)
            detail: dict[str, Any] = {"administrator": [False, True]}
            if kept:
                detail["ids kept"] = [None, [id_text(known) for known in kept]]
            audit.record(connection, actor, "administrator appointed", row.email, detail)
        self._sessions.forget()
        return True

    def dismiss(self, account_id: int, *, by: int) -> bool:
        """Remove the right to administer; tell whether the account had it.

        *by* is the account of the requesting person. Raises NotByHand, and LastAdministrator for the last active
        administrator.
        """
        with self._database.writing() as connection:
            # Lock the rows of all administrators: if two of them dismiss each other at once, only one may succeed.
            active = connection.execute(ACTIVE_ADMINISTRATORS.with_for_update()).scalars().all()
            row = _locked(connection, account_id)
            actor = _email_of_administrator(connection, by)
            if row is None or not row.is_admin:
                return False
            if set(active) <= {account_id}:
                raise LastAdministrator
            _set(connection, account_id, is_admin=False)
            audit.record(connection, actor, "administrator dismissed", row.email, {"administrator": [True, False]})
        self._sessions.forget()
        return True


def id_text(known: KnownAs) -> str:
    """Return the text for an id at a provider on pages and in the audit trail."""
    return f"{known.provider}: {known.subject}"


def _email_of_administrator(connection: Connection, account_id: int) -> str:
    """Return the e-mail of an active administrator who was appointed by hand, or raise NotByHand."""
    row = connection.execute(select(_account).where(_account.c.id == account_id)).first()
    if row is None or not row.is_active or not row.is_admin:
        raise NotByHand
    email: str = row.email
    return email


def _locked(connection: Connection, account_id: int) -> Any:
    return connection.execute(select(_account).where(_account.c.id == account_id).with_for_update()).first()


def _set(connection: Connection, account_id: int, *, is_admin: bool) -> None:
    connection.execute(update(_account).where(_account.c.id == account_id).values(is_admin=is_admin))
