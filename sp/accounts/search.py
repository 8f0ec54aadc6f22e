"""Search accounts for lists and pages, fast even if there are a hundred thousand accounts.

A page begins after the last e-mail of the previous page (keyset pagination). The database reads the unique index of
e-mails and stops after one page, so every page of the whole list takes the same time. A search that matches few
accounts reads the whole index.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, or_, select

from sp.accounts import rows as accounts
from sp.accounts.manage import AccountSummary, person_of
from sp.accounts.rows import KnownAs
from sp.database.access import Database
from sp.database.models import Account
from sp.emails import email_key

PAGE_ROWS = 50
ROWS_AT_ONCE = 5000  # read together in `all_active`
MAX_WORDS = 5  # of a search

_account: Any = Account.__table__
_NAMES = (_account.c.name, _account.c.given_name, _account.c.family_name, _account.c.login)
_STATES: dict[str, ColumnElement[bool]] = {
    "active": _account.c.is_active.is_(True),
    "disabled": _account.c.is_active.is_(False),
    "administrators": or_(_account.c.is_admin.is_(True), _account.c.admin_through.is_not(None)),
}


@dataclass(frozen=True)
class PeoplePage:
    """One page of a list. `next` is the key after which the next page begins, or "" if there is no next page."""

    people: tuple[AccountSummary, ...]
    next: str


@dataclass(frozen=True)
class PersonDetail:
    """Everything that is stored about an account, except its password."""

    person: AccountSummary
    given_name: str | None
    family_name: str | None
    login: str | None
    attributes: Mapping[str, Any]
    has_password: bool
    identities: tuple[KnownAs, ...]


class PeopleFinder:
    """Reads accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, search: str = "", *, state: str = "", after: str = "") -> PeoplePage:
        """Return a page of the matching accounts, ordered by e-mail, after the key *after*.

        The e-mail or a name must contain every word of *search*. *state* is "active", "disabled", "administrators", or
        "" for all accounts.
        """
        query = select(_account).order_by(_account.c.email_key).limit(PAGE_ROWS + 1)
        query = query.where(*(self._has(word) for word in search.split()[:MAX_WORDS]))
        if state in _STATES:
            query = query.where(_STATES[state])
        if after:
            query = query.where(_account.c.email_key > after)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        people = tuple(person_of(row) for row in rows[:PAGE_ROWS])
        return PeoplePage(people, rows[PAGE_ROWS - 1].email_key if len(rows) > PAGE_ROWS else "")

    def detail(self, account_id: int) -> PersonDetail | None:
        """Return an account, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(_account).where(_account.c.id == account_id)).first()
            if row is None:
                return None
            return PersonDetail(
                person_of(row),
                row.given_name,
                row.family_name,
                row.login,
                row.attributes,
                row.password_hash is not None,
                accounts.identities_of(connection, account_id),
            )

    def all_active(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield e-mail and groups of every active account, ordered by e-mail."""
        groups_of = cache(lambda text: tuple(json.loads(text)))  # cached: many accounts have the same groups
        columns = (_account.c.email, cast(_account.c.groups, Text), _account.c.email_key, _account.c.is_active)
        query = (
            select(*columns).order_by(_account.c.email_key).limit(ROWS_AT_ONCE)
        )  # no condition on is_active: its index would make the database sort the rows
        after = ""
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query.where(_account.c.email_key > after)).all()
            for email, groups, _key, is_active in rows:
                if is_active:
                    yield email, groups_of(groups)
            if len(rows) < ROWS_AT_ONCE:
                return
            after = rows[-1].email_key

    def emails_of(self, account_ids: Collection[int]) -> dict[int, str]:
        """Return the e-mails of accounts by id. Leave out the accounts that do not exist."""
        query = select(_account.c.id, _account.c.email).where(_account.c.id.in_(account_ids))
        with self._database.reading() as connection:
            return {row.id: row.email for row in connection.execute(query)}

    def active(self) -> int:
        """Return the number of active accounts: the seats that are taken."""
        with self._database.reading() as connection:
            return accounts.active_count(connection)

    def _has(self, word: str) -> ColumnElement[bool]:
        """Return the condition that the e-mail or a name contains *word*.

        A complete e-mail is found by the index. Names are compared without case, with ILIKE on PostgreSQL. SQLite's
        LIKE ignores the case of ASCII letters only, so names with other letters are searched in three spellings.
        """
        key = email_key(word)
        if "@" in word and not word.startswith("@") and "." in word.rpartition("@")[2]:
            return and_(_account.c.email_key >= key, _account.c.email_key < key + "\U0010ffff")
        if self._database.dialect == "postgresql":
            names = [name.ilike(_anywhere(word), escape="/") for name in _NAMES]
        else:
            spellings = {word} if word.isascii() else {word, word.lower(), word.capitalize(), word.upper()}
            names = [name.like(_anywhere(spelling), escape="/") for name in _NAMES for spelling in sorted(spellings)]
        return or_(_account.c.email_key.like(_anywhere(key), escape="/"), *names)


def _anywhere(text: str) -> str:
    """Return the LIKE pattern for *text* at any position; `/` escapes the wildcards in it."""
    return f"%{text.replace('/', '//').replace('%', '/%').replace('_', '/_')}%"
