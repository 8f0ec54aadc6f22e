"""Tell an application behind the gateway who is signed in, in any framework.

    from lychgate import current_user
    user = current_user(request)      # a User, or None

This module reads `environ["sso.user"]` and `scope["lychgate.user"]`. Only `Gateway` and `AsgiGateway` can set these
keys; a request header cannot. If no gateway runs in this process, `current_user` returns None.

This module imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

IN_ENVIRON, IN_SCOPE = "sso.user", "lychgate.user"
OF_A2WSGI = "wsgi_environ"  # the key of the scope in which a2wsgi keeps the environ


@dataclass(frozen=True)
class User:
    """The signed-in person.

    `id` identifies the account in the gateway; it stays the same if the e-mail address changes. `attributes` are the
    profile fields that the provider's field matching has filled. `session` is the public name of the session.
    `provider` is None after a sign-in with a local password. `is_admin` says whether the person administers the
    gateway.

    Flask-Login and Starlette expect the members that follow the fields, except `is_in` and `of`.
    """

    id: int
    email: str
    name: str
    given_name: str | None
    family_name: str | None
    login: str | None
    groups: tuple[str, ...]
    attributes: Mapping[str, Any]
    provider: str | None
    session: str
    is_admin: bool = False
    site: str = "home"

    is_authenticated = is_active = True
    is_anonymous = False

    def is_in(self, *groups: str) -> bool:
        """Tell whether the person is in one of the *groups*."""
        return not set(groups).isdisjoint(self.groups)

    def get_id(self) -> str:
        """Return the ID as text (Flask-Login)."""
        return str(self.id)

    @property
    def identity(self) -> str:
        """The ID as text (Starlette)."""
        return str(self.id)

    @property
    def display_name(self) -> str:
        """The name, or the e-mail address if the person has no name. Starlette's user objects have this property."""
        return self.name or self.email

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> User:
        """Return the user from *told*, the gateway's data. Members that this version does not know are ignored."""
        known = {field.name: told[field.name] for field in fields(cls) if field.name in told}
        known |= {"groups": tuple(told["groups"]), "attributes": MappingProxyType(dict(told["attributes"]))}
        return cls(**known)


def current_user(request: Any) -> User | None:
    """Return the signed-in user, or None if the visitor is not signed in.

    *request* is a request or WebSocket of Flask, Django, Starlette or FastAPI, a WSGI environ, or an ASGI scope.
    Raises TypeError if *request* is none of these.
    """
    told = what_is_told(request)
    return User.of(told) if told else None


def what_is_told(request: Any) -> Mapping[str, Any] | None:
    """Return the gateway's data about the person who sent *request*, or None. Raises TypeError like `current_user`."""
    if isinstance(scope := getattr(request, "scope", request), Mapping) and "type" in scope:
        told: Mapping[str, Any] | None = scope.get(IN_SCOPE) or scope.get(OF_A2WSGI, {}).get(IN_ENVIRON)
        return told
    for place in (request, getattr(request, "environ", None), getattr(request, "META", None)):
        if isinstance(place, Mapping) and "REQUEST_METHOD" in place:
            return place.get(IN_ENVIRON)
    raise TypeError(f"{type(request).__name__} is neither a request nor a WSGI environ nor an ASGI scope")
