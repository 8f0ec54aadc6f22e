"""Make an account an administrator's, and take that away again, for an administrator who asks on a page.

An account that tokens sign in to is controlled by their providers: it becomes an administrator's only with exactly
those ids that the person who asks was shown. One active administrator always stays.

Only an administrator by hand may do either. A right by group ends with the group, and its holder must not make it
permanent.
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
    """The person who asks is not an administrator by hand, perhaps only by a group."""


class Administrators:
    """Appoints and dismisses administrators. Each change holds at once here, and elsewhere within SP_SESSION_CACHE."""

    def __init__(self, database: Database, sessions: SessionStore) -> None:
        self._database, self._sessions = database, sessions

    def appoint(self, account_id: int, *, shown: Collection[str], by: int) -> bool:
        """Make an active account an administrator's; tell whether that is a change.

        *by* is the account of the person who asks. *shown* are the ids, as `id_text` writes them, that this person has
        seen. Raises NotByHand; and ControlledByProviders if the account has other ids: they were linked meanwhile, or
        never shown.
        """
        with self._database.writing() as connection:
            # Locked: a sign-in that would join the account at this moment waits, and then finds an administrator's.
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
        """Take the right away; tell whether that is a change.

        *by* is the account of the person who asks. Raises NotByHand, and LastAdministrator for the last active one.
        """
        with self._database.writing() as connection:
            # Locked, all of them: two administrators who dismiss one another at once must not both succeed.
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
    """Return an id at a provider as pages and the audit trail name it."""
    return f"{known.provider}: {known.subject}"


def _email_of_administrator(connection: Connection, account_id: int) -> str:
    """Return the e-mail of an active administrator by hand, or raise NotByHand."""
    row = connection.execute(select(_account).where(_account.c.id == account_id)).first()
    if row is None or not row.is_active or not row.is_admin:
        raise NotByHand
    email: str = row.email
    return email


def _locked(connection: Connection, account_id: int) -> Any:
    return connection.execute(select(_account).where(_account.c.id == account_id).with_for_update()).first()


def _set(connection: Connection, account_id: int, *, is_admin: bool) -> None:
    connection.execute(update(_account).where(_account.c.id == account_id).values(is_admin=is_admin))
