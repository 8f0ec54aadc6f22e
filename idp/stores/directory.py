"""Store people in this program's own database, and change them for the operator. This is the default directory."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from idp.models import PersonRow, db, writing
from idp.people import DirectoryUnavailable, Person, WrongCredentials
from shared.clock import utc_now
from shared.passwords import check_password, hash_password, needs_rehash

# The rules of the strictest service: one @, a dotted domain, and printable ASCII. The lengths are those of RFC 5321,
# section 4.5.3.1.
EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\Z")
MAX_EMAIL = 254
MAX_NAME = 200


class PersonRefused(ValueError):
    """The change was rejected; the message says why."""


class SqlDirectory:
    """People in the table `people`. Passwords are hashed with argon2id.

    When the parameters of argon2id change, a password is hashed again at the next sign-in.
    """

    def find(self, email: str) -> Person | None:
        """Return the person if they exist and are not disabled."""
        row = self._row(email)
        return _person(row) if row is not None and not row.disabled else None

    def authenticate(self, email: str, password: str) -> Person:
        """Return the person, or raise WrongCredentials.

        A hash is also computed for people who do not exist or are disabled, so that every refusal takes the same time.
        """
        row = self._row(email)
        usable = row if row is not None and not row.disabled else None
        if not check_password(usable.password_hash if usable else None, password) or usable is None:
            raise WrongCredentials
        person, stored_hash = _person(usable), usable.password_hash
        if not needs_rehash(stored_hash):
            return replace(person, credential=stored_hash)
        new_hash = hash_password(password)
        if self._rehash(person, stored_hash, new_hash):
            return replace(person, credential=new_hash)
        return self.authenticate(email, password)  # another hash was stored first, perhaps of a new password

    def add(
        self,
        email: str,
        password: str,
        *,
        given_name: str = "",
        family_name: str = "",
        groups: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> Person:
        """Create a person. Raises PersonRefused, or PasswordRefused for a password that is too short or too long."""
        check_email(email)
        for text in (given_name, family_name, *groups, *(attributes or {}).values()):
            check_text(text)
        row = PersonRow(
            id=uuid.uuid4().hex,
            email=email,
            email_key=key_of(email),
            given_name=given_name,
            family_name=family_name,
            password_hash=hash_password(password),
            disabled=False,
            groups=list(dict.fromkeys(groups)),
            attributes=dict(attributes or {}),
            created_at=utc_now(),
        )
        person = _person(row)
        try:
            with writing() as session:
                session.add(row)
        except IntegrityError:
            raise PersonRefused(f"{email} already exists") from None
        return person

    def set_password(self, email: str, password: str) -> Person:
        """Give the person a new password."""
        new_hash = hash_password(password)
        with writing():
            row = self._known(email)
            row.password_hash = new_hash
            return _person(row)

    def set_disabled(self, email: str, disabled: bool) -> Person:
        """Disable the person, or enable them again."""
        with writing():
            row = self._known(email)
            row.disabled = disabled
            return _person(row)

    def all(self) -> list[tuple[Person, bool]]:
        """Return all people, sorted by e-mail, each with whether they are disabled."""
        rows = db.session.scalars(select(PersonRow).order_by(PersonRow.email_key))
        return [(_person(row), row.disabled) for row in rows]

    def _rehash(self, person: Person, old_hash: str, new_hash: str) -> bool:
        """Replace *old_hash* by *new_hash*; tell whether the old one was still stored."""
        still = (PersonRow.id == person.id, PersonRow.password_hash == old_hash)
        with writing() as session:
            found = session.execute(
                update(PersonRow).where(*still).values(password_hash=new_hash).returning(PersonRow.id)
            )
            return found.first() is not None

    def _known(self, email: str) -> PersonRow:
        row = self._row(email)
        if row is None:
            raise PersonRefused(f"{email} does not exist")
        return row

    def _row(self, email: str) -> PersonRow | None:
        if "\0" in email or len(email) > MAX_EMAIL:
            return None
        try:
            return db.session.scalar(select(PersonRow).where(PersonRow.email_key == key_of(email)))
        except OperationalError as error:
            raise DirectoryUnavailable from error


def open_directory() -> SqlDirectory:
    """Return the directory that this program uses by default. IDP_PEOPLE can name another function that opens one."""
    return SqlDirectory()


def confirm(session: Session, person: Person) -> None:
    """Raise WrongCredentials if the password was changed, or the person disabled, since the password was checked.

    The row stays locked until the transaction of *session* ends. A change of the password waits for the end of this
    transaction, and then ends the new session.
    """
    row = session.get(PersonRow, person.id, with_for_update=True, populate_existing=True)
    if row is None or row.disabled or row.password_hash != person.credential:
        raise WrongCredentials


def key_of(email: str) -> str:
    """Return *email* normalised for comparison: without case, and without white space around it."""
    return email.strip().lower()


def check_email(email: str) -> None:
    """Raise PersonRefused unless every service accepts *email*."""
    if len(email) > MAX_EMAIL or not EMAIL.match(email) or ".." in email:
        raise PersonRefused("the e-mail address must be printable ASCII with one @ and a dotted domain")


def check_text(text: str) -> None:
    """Raise PersonRefused for control and format characters, which make one name look like another."""
    if len(text) > MAX_NAME or any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text):
        raise PersonRefused(f"names and groups must have at most {MAX_NAME} characters and no invisible ones")


def _person(row: PersonRow) -> Person:
    return Person(row.id, row.email, row.given_name, row.family_name, tuple(row.groups), row.attributes)
