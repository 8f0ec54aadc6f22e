"""Who you are. SEAM: a directory is wherever your people already are; IDP_PEOPLE names the function that opens it.

Pure. It has two methods. `authenticate` is asked once, when someone types a password; `find` is asked again
before every token, so that whoever was disabled or removed a minute ago gets none. Worked examples for a table that
you already have and for LDAP stand in idp/examples/; the default, idp/stores/directory.py, keeps people in this
program's own database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class WrongCredentials(Exception):
    """The password does not fit, or there is no such person, or they are disabled: nobody learns which."""


class DirectoryUnavailable(Exception):
    """The directory cannot answer at the moment, so nobody can be signed in."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whom the directory vouches for.

    `id` never changes and is never given to another person; services recognise people by it. `attributes` are
    further fields that a service's claims mapping may name, such as department. `credential` is for the default
    directory: what the password was held against, so that a session is not opened with one that was changed meanwhile.
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
        """Return the full name; without one, what stands before the @."""
        return f"{self.given_name} {self.family_name}".strip() or self.email.partition("@")[0]

    @property
    def username(self) -> str:
        """Return what they sign in with."""
        return self.attributes.get("username") or self.email

    def value_of(self, field_name: str) -> str | list[str] | None:
        """Return the field that a claims mapping names; None where the person has none."""
        if field_name == "groups":
            return list(self.groups)  # an empty list too: it is how a service learns that the last group is gone
        if field_name in ("id", "email", "given_name", "family_name", "name", "username"):
            return str(getattr(self, field_name)) or None
        return self.attributes.get(field_name) or None


class PersonDirectory(Protocol):
    """Where people are kept. E-mail addresses are compared without case.

    Both methods raise DirectoryUnavailable when they cannot know.
    """

    def find(self, email: str) -> Person | None:
        """Return the person if they exist and may sign in, else None."""

    def authenticate(self, email: str, password: str) -> Person:
        """Return the person whose password this is, or raise WrongCredentials.

        It must take as long for a person who does not exist, or is disabled, as for a wrong password.
        """
