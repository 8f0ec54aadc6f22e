"""People in a table that you already have, in any database that SQLAlchemy supports.

    IDP_PEOPLE=idp.examples.sql_people:open_directory
    IDP_PEOPLE_DATABASE_URL=postgresql+psycopg://reader@db.example/intranet

Adapt the two queries and `fits` to your tables. The program only reads these tables, so give it an account that cannot
write. Values are passed as bound parameters, never inside the text of a query.
"""

from __future__ import annotations

from sqlalchemy import Engine, RowMapping, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.security import check_password_hash, generate_password_hash

from idp.config import setting
from idp.people import DirectoryUnavailable, Person, WrongCredentials

# The query compares e-mails without case. So the table needs an index on lower(mail), and must not have two rows that
# differ only in case.
FIND = text(
    "SELECT member_id, mail, first_name, last_name, department, pw_hash, active FROM members WHERE lower(mail) = :mail"
)
GROUPS = text("SELECT name FROM member_groups WHERE member_id = :member_id ORDER BY name")

# A hash that matches no password. It is of the same kind as the real hashes, so that checking it takes as long.
HASH_OF_NOBODY = generate_password_hash("the password of an account that does not exist")


def open_directory() -> TablePeople:
    """Return the directory, from the settings."""
    return TablePeople(create_engine(setting("IDP_PEOPLE_DATABASE_URL"), pool_pre_ping=True))


class TablePeople:
    """A directory (idp/people.py) over the tables `members` and `member_groups`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, email: str) -> Person | None:
        """Return the person if they exist and are active."""
        row = self._row(email)
        return self._person(row) if row is not None and row["active"] else None

    def authenticate(self, email: str, password: str) -> Person:
        """Return the person whose password this is, or raise WrongCredentials."""
        row = self._row(email)
        usable = row if row is not None and row["active"] else None
        if not fits(usable["pw_hash"] if usable is not None else HASH_OF_NOBODY, password) or usable is None:
            raise WrongCredentials
        return self._person(usable)

    def _row(self, email: str) -> RowMapping | None:
        try:
            with self._engine.connect() as connection:
                return connection.execute(FIND, {"mail": email.strip().lower()}).mappings().one_or_none()
        except SQLAlchemyError as error:
            raise DirectoryUnavailable from error

    def _person(self, row: RowMapping) -> Person:
        try:
            with self._engine.connect() as connection:
                groups = connection.execute(GROUPS, {"member_id": row["member_id"]}).scalars().all()
        except SQLAlchemyError as error:
            raise DirectoryUnavailable from error
        return Person(
            id=str(row["member_id"]),  # not the e-mail, which another person may get one day
            email=row["mail"],
            given_name=row["first_name"] or "",
            family_name=row["last_name"] or "",
            groups=tuple(groups),
            attributes={"department": row["department"] or ""},
        )


def fits(stored_hash: str, password: str) -> bool:
    """Tell whether the password matches. Use the library that made the hashes, here Werkzeug."""
    return check_password_hash(stored_hash, password)
