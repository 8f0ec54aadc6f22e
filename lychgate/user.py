"""Tell an application behind the gateway who is signed in, in any framework.

    from lychgate import current_user
    user = current_user(request)      # a User, or None

This module reads `environ["sso.user"]` and `scope["lychgate.user"]`. Only `Gateway` and `AsgiGateway` can set these
keys; no header of a request can. Without a gateway in this process, there is no user.

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
    """The signed-in person. `attributes` are the fields of the profile that the provider's field matching has filled.

    `id` is the account in the gateway, which stays when the e-mail address changes. `session` is the public name of the
    session. `provider` is None after a sign-in with a local password. `is_admin`: the person administers the gateway.

    Flask-Login and Starlette expect the members below the fields.
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
        """The name, or the e-mail address of a person without a name (Starlette)."""
        return self.name or self.email

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> User:
        """Return the user from the gateway's data *told*. Members that this version does not know are left out."""
        known = {field.name: told[field.name] for field in fields(cls) if field.name in told}
        known |= {"groups": tuple(told["groups"]), "attributes": MappingProxyType(dict(told["attributes"]))}
        return cls(**known)


def current_user(request: Any) -> User | None:
    """Return who is signed in, or None.

    *request* is a request of Flask, Django, Starlette or FastAPI (a WebSocket too), a WSGI environ, or an ASGI scope.
    Raises TypeError for anything else.
    """
    told = what_is_told(request)
    return User.of(told) if told else None


def what_is_told(request: Any) -> Mapping[str, Any] | None:
    """Return the gateway's data about the person who sent *request*. Raises TypeError."""
    if isinstance(scope := getattr(request, "scope", request), Mapping) and "type" in scope:
        told: Mapping[str, Any] | None = scope.get(IN_SCOPE) or scope.get(OF_A2WSGI, {}).get(IN_ENVIRON)
        return told
    for place in (request, getattr(request, "environ", None), getattr(request, "META", None)):
        if isinstance(place, Mapping) and "REQUEST_METHOD" in place:
            return place.get(IN_ENVIRON)
    raise TypeError(f"{type(request).__name__} is neither a request nor a WSGI environ nor an ASGI scope")
