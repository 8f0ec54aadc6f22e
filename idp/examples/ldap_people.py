"""People in LDAP: OpenLDAP, 389 or FreeIPA. For Active Directory, change the filters and the attributes.

    pip install ldap3==2.9.1
    IDP_PEOPLE=idp.examples.ldap_people:open_directory
    IDP_LDAP_URL=ldaps://ldap.example          (or ldap://, which is upgraded to TLS before anything is sent)
    IDP_LDAP_BIND_DN=cn=reader,dc=example      an account that may only search
    IDP_LDAP_BIND_PASSWORD=…
    IDP_LDAP_PEOPLE=ou=people,dc=example
    IDP_LDAP_GROUPS=ou=groups,dc=example       (may be left out)

A password is checked by binding as the person, so the directory's own rules apply, for example for locked accounts and
expired passwords. This code avoids three common errors:

- Input is escaped before it becomes part of a filter (RFC 4515, section 3).
- An empty password is rejected. A server takes an empty password for an anonymous bind, and the bind succeeds (RFC
  4513, section 5.1.2).
- No password is sent without TLS, except to a server on the same machine.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ldap3 import NONE, SUBTREE, Connection, Server, Tls  # type: ignore[import-untyped]
from ldap3.core.exceptions import LDAPException  # type: ignore[import-untyped]
from ldap3.utils.conv import escape_filter_chars  # type: ignore[import-untyped]

from idp.config import setting
from idp.people import DirectoryUnavailable, Person, WrongCredentials
from shared.settings import SettingsRefused, is_loopback

FILTER = "(&(objectClass=inetOrgPerson)(mail={email}))"  # exclude your disabled people with a (!…)
GROUP_FILTER = "(&(objectClass=groupOfNames)(member={dn}))"
ATTRIBUTES = ["entryUUID", "mail", "givenName", "sn", "departmentNumber"]  # Active Directory: objectGUID, department
TIMEOUT = 5  # seconds to connect, and for each answer


def open_directory() -> LdapPeople:
    """Return the directory, from the settings. Raises SettingsRefused."""
    needed = ("IDP_LDAP_URL", "IDP_LDAP_BIND_DN", "IDP_LDAP_BIND_PASSWORD", "IDP_LDAP_PEOPLE")
    values = {name: setting(name) for name in needed}
    if not all(values.values()):
        raise SettingsRefused([f"{name} is missing" for name, value in values.items() if not value])
    return LdapPeople(*values.values(), groups=setting("IDP_LDAP_GROUPS"))


@dataclass(frozen=True)
class Entry:
    """A person's entry: its name in the tree, and the attributes that were asked for."""

    dn: str
    values: dict[str, list[str]]

    def first(self, name: str) -> str:
        """Return the first value of an attribute, or an empty text."""
        return next(iter(self.values.get(name, [])), "")


class LdapPeople:
    """A directory of people (idp/people.py) in LDAP. Each call opens its own connections, and closes them."""

    def __init__(self, url: str, bind_dn: str, bind_password: str, people: str, *, groups: str = "") -> None:
        self._server = Server(url, get_info=NONE, connect_timeout=TIMEOUT, tls=Tls(validate=ssl.CERT_REQUIRED))
        parts = urlsplit(url)
        self._start_tls = parts.scheme != "ldaps" and not is_loopback(parts.hostname or "")
        self._reader = (bind_dn, bind_password)
        self._people, self._groups = people, groups

    def find(self, email: str) -> Person | None:
        """Return the person if there is exactly one entry with this e-mail."""
        with self._bound(*self._reader) as connection:
            if connection is None:
                raise DirectoryUnavailable("the directory refuses IDP_LDAP_BIND_DN")
            entry = self._entry(connection, email)
            return self._person(connection, entry) if entry else None

    def authenticate(self, email: str, password: str) -> Person:
        """Return the person if the directory lets them bind with *password*, or raise WrongCredentials."""
        if not password:
            raise WrongCredentials
        with self._bound(*self._reader) as reader:
            if reader is None:
                raise DirectoryUnavailable("the directory refuses IDP_LDAP_BIND_DN")
            entry = self._entry(reader, email)
            dn = entry.dn if entry else f"cn=nobody,{self._people}"  # for equal timing
            with self._bound(dn, password) as person:
                if person is None or entry is None:
                    raise WrongCredentials
            return self._person(reader, entry)

    def _entry(self, connection: Connection, email: str) -> Entry | None:
        """Return the only entry with this e-mail, or None if there is no entry or more than one.

        LDAP ignores more differences than upper and lower case (a NUL, double spaces). So compare the e-mails again
        here.
        """
        wanted = FILTER.format(email=escape_filter_chars(email.strip()))
        found = self._search(connection, self._people, wanted, ATTRIBUTES)
        same = [entry for entry in found if email.strip().lower() in map(str.lower, entry.values.get("mail", []))]
        return same[0] if len(same) == 1 else None

    def _person(self, connection: Connection, entry: Entry) -> Person:
        groups: list[Entry] = []
        if self._groups:
            wanted = GROUP_FILTER.format(dn=escape_filter_chars(entry.dn))
            groups = self._search(connection, self._groups, wanted, ["cn"])
        return Person(
            id=entry.first("entryUUID"),  # stays the same when the entry is renamed or moved
            email=entry.first("mail"),
            given_name=entry.first("givenName"),
            family_name=entry.first("sn"),
            groups=tuple(sorted(group.first("cn") for group in groups)),
            attributes={"department": entry.first("departmentNumber")},
        )

    def _search(self, connection: Connection, base: str, wanted: str, attributes: list[str]) -> list[Entry]:
        try:
            connection.search(base, wanted, SUBTREE, attributes=attributes, time_limit=TIMEOUT)
        except LDAPException as error:
            raise DirectoryUnavailable from error
        entries = [item for item in connection.response or [] if item["type"] == "searchResEntry"]
        return [Entry(item["dn"], {k: _texts(v) for k, v in item["attributes"].items()}) for item in entries]

    @contextmanager
    def _bound(self, dn: str, password: str) -> Iterator[Connection | None]:
        """Yield a connection that is bound as *dn*, or None if the directory rejects the password."""
        connection = Connection(
            self._server, dn, password, read_only=True, receive_timeout=TIMEOUT, raise_exceptions=False
        )
        try:
            connection.open()
            if self._start_tls and not connection.start_tls():
                raise DirectoryUnavailable("the directory offers no TLS")
            bound = connection.bind()
        except LDAPException as error:
            raise DirectoryUnavailable from error
        try:
            yield connection if bound else None
        finally:
            connection.unbind()


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in values]
