"""Define people and their directory. To use your own directory, name the function that opens it in IDP_PEOPLE.

A directory has two methods. `authenticate` is called once, with the password. `find` is called before every token, so
that a person who was disabled or removed a minute ago gets no token. idp/examples/ has a directory for a table that you
already have, and one for LDAP. The default, idp/stores/directory.py, stores people in this program's own database.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class WrongCredentials(Exception):
    """The password is wrong, or the person does not exist or is disabled. The page does not say which."""


class DirectoryUnavailable(Exception):
    """The directory cannot answer right now, so sign-in is unavailable."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person in the directory.

    `id` never changes and is never given to another person; services identify people by it. `attributes` are further
    fields that a service's claims mapping may name, such as department. Only the default directory uses `credential`,
    which is the hash against which the password was checked. If the password is changed before the session is opened,
    no session is opened.
    """

    id: str
    email: str
    given_name: str = ""
    family_name: str = ""
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    credential: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the full name. If it is empty, return the part of the e-mail before the @."""
        return f"{self.given_name} {self.family_name}".strip() or self.email.partition("@")[0]

    @property
    def username(self) -> str:
        """Return the attribute `username`. If there is none, return the e-mail."""
        return self.attributes.get("username") or self.email

    def value_of(self, field_name: str) -> str | list[str] | None:
        """Return the field that a claims mapping names, or None if the person does not have it."""
        if field_name == "groups":
            return list(self.groups)  # even if empty: a service then learns that the last group was removed
        if field_name in ("id", "email", "given_name", "family_name", "name", "username"):
            return str(getattr(self, field_name)) or None
        return self.attributes.get(field_name) or None


class PersonDirectory(Protocol):
    """The interface to the place where people are stored. E-mail addresses are compared without case.

    Both methods raise DirectoryUnavailable when they cannot answer.
    """

    def find(self, email: str) -> Person | None:
        """Return the person if they exist and may sign in, else None."""

    def authenticate(self, email: str, password: str) -> Person:
        """Return the person whose password this is, or raise WrongCredentials.

        It must take as long for a person who does not exist, or is disabled, as for a wrong password.
        """
