"""Remove identity headers that clients sent, and add the true identity.

Proxies tell applications in headers who a person is, but any client can send such a header. So every header that could
be read as an identity is removed, in every spelling that a server or a framework treats as the same name. For example,
X-Forwarded-User, X_Forwarded_User and x.forwarded.user are treated as one name. The gateway sets the true identity in
environ keys that a header cannot set (REMOTE_USER, AUTH_TYPE, sso.user). It sets identity headers for an application in
its own process only if the operator has configured them. To a proxy that asks (forward-auth), it always returns them,
by default the set `remote`.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, MutableMapping
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from sp.routes import HOME

if TYPE_CHECKING:
    from sp.sessions.store import Session

AUTH_TYPE = "jwt-sso"
DEFAULT_SET = "remote"
ASSERTION = "X-Lychgate-Assertion"


class Known(NamedTuple):
    """The data about a person that headers contain."""

    email: str
    full_name: str
    login: str | None
    groups: tuple[str, ...]


_VALUES: dict[str, Callable[[Known], str]] = {
    "email": lambda person: person.email,
    "name": lambda person: person.full_name,
    "login": lambda person: person.login or "",
    "groups": lambda person: ",".join(group.replace("%", "%25").replace(",", "%2C") for group in person.groups),
}
HEADER_SETS: dict[str, dict[str, str]] = {
    "remote": {"Remote-User": "email", "Remote-Email": "email", "Remote-Name": "name", "Remote-Groups": "groups"},
    **{
        name: {f"{start}-User": "email", f"{start}-Email": "email", f"{start}-Preferred-Username": "login",
               f"{start}-Groups": "groups"}
        for name, start in (("x-forwarded", "X-Forwarded"), ("x-auth-request", "X-Auth-Request"))
    },
}  # fmt: skip

# Names without punctuation, in capitals. Besides the gateway's own headers, these are the headers of other gateways,
# clouds, service meshes and TLS terminators, because an application may have been written for one of those products.
_IDENTITY = re.compile(
    r"REMOTE|XREMOTE|AUTHTYPE|AUTHUSER|AUTHENTICATEDUSER|LOGONUSER|X?PROXY(?:USER|ROLE)|X?IMPERSONATE"
    r"|XFORWARDED(?!(?:FOR|HOST|PROTO|PROTOCOL|PORT|PREFIX|SERVER|SSL|SCHEME|BY|METHOD|URI|URL|PATH)\Z)"
    r"|XAUTHREQUEST|XAUTHENTICATED|XAUTHENTIK|XAUTH(?:USER|EMAIL|NAME|GROUP|ROLE|SUBJECT|REALNAME)"
    r"|XWEBAUTH|XLYCHGATE|LYCHGATE|SSO|XSSO|OIDC|XOIDC|MELLON|SHIB|EPPN"
    r"|XUSER(?:ID|NAME|EMAIL|GROUPS?|ROLES?|INFO|LOGIN)?\Z|XEMAIL\Z|XGROUPS?\Z|XROLES?\Z|XUSERNAME"
    r"|XGOOGAUTHENTICATED|XGOOGIAP|XAMZNOIDC|XMSCLIENTPRINCIPAL|XMSTOKEN|CFACCESS|XPOMERIUM|XVOUCH|XCONSUMER"
    r"|XANONYMOUSCONSUMER|XCREDENTIAL|XENDPOINTAPIUSERINFO|TAILSCALEUSER|XTOKENSUBJECT|XJWT(?:ASSERTION|PAYLOAD)"
    r"|IV(?:USER|GROUPS|CREDS)|SM(?:USER|UNIVERSALID|AUTHTYPE)|OAM|GAPAUTH|OSSO"
    r"|X?SSLCLIENT|X?CLIENT(?:CERT|DN|SDN|VERIFY)|XTLSCLIENT|XARRCLIENTCERT"
)
# Headers that only a proxy may set. The first pattern is for the URL of a request before it was rewritten, the second
# one for the client, scheme and host from which the request came.
_REWRITTEN = re.compile(
    r"XORIGINAL|XREWRITEURL|XHTTPDESTINATIONURL|XFORWARDED(?:METHOD|URI|URL|PATH)|X?SCRIPTNAME|X?PATHINFO"
)
_FORWARDED = re.compile(
    r"XFORWARDED|FORWARDED\Z|VIA\Z|XREALIP|XREALHOST|XCLUSTERCLIENTIP|TRUECLIENTIP|CFCONNECTINGIP|X?CLIENTIP\Z"
    r"|FASTLYCLIENTIP|FLYCLIENTIP|XAZURECLIENTIP|XENVOYEXTERNALADDRESS"
    r"|XPROTO|XSCHEME|XHOST\Z|XURLSCHEME|FRONTENDHTTPS"
)
_PUNCTUATION = re.compile(r"[^A-Z0-9]")
_OUR_KEYS = ("REMOTE_USER", "REMOTE_IDENT", "AUTH_TYPE", "AUTH_USER", "LOGON_USER")
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_NEEDS_QUOTES = re.compile(r"[^ -$&-~]")
_MAX_REMEMBERED = 4096  # names
_MAX_REMEMBERED_LENGTH = 100  # characters of each
_MAX_PEOPLE = 1024  # people whose headers are cached, because a page causes many requests; tokens limit the length


class Sender(IntEnum):
    """The sender of a request, by the IP of the socket's peer and the path. A more trusted one may set more headers."""

    STRANGER = 0
    PROXY = 1  # a proxy that reports where the request came from
    QUESTIONER = 2  # a proxy that asks whether another request may pass, and describes it in headers


STRANGER = Sender.STRANGER  # faster at each request, because Python 3.11 accesses enumeration members slowly


class IdentityHeaderFilter:
    """Removes identity headers from a request's environ, and proxies' headers if no trusted proxy sent them.

    Headers with the original URL of a rewritten request are removed even if a trusted proxy sent them, because proxies
    pass such headers on unchanged from clients. An application that trusts them would serve another page than the one
    that was checked. They are kept only in forward-auth requests.

    A request has dozens of headers, so each name is classified once, and the result is cached. The cache is limited,
    because clients choose some of the names.
    """

    def __init__(self, unusual: Collection[str] = ()) -> None:
        self._usual: dict[Sender, set[str]] = {sender: set() for sender in Sender}
        self._unusual = frozenset(unusual)

    def clean(self, environ: MutableMapping[str, Any], sender: Sender) -> bool:
        """Remove from *environ* the headers that *sender* may not set. Tell whether no *unusual* key is left.

        If a sender that is not a trusted proxy sent a proxy's header, environ["lychgate.forwarded"] is set to True,
        because the header itself is removed.
        """
        usual = self._usual[sender]
        if usual.issuperset(environ):
            return True
        is_usual = True
        for key in [key for key in environ if key not in usual]:
            if is_identity(key):
                del environ[key]
            elif not may_say(sender, key):
                del environ[key]
                if sender is Sender.STRANGER:
                    environ["lychgate.forwarded"] = True
            elif key in self._unusual:
                is_usual = False
            elif len(key) <= _MAX_REMEMBERED_LENGTH:
                if len(usual) >= _MAX_REMEMBERED:
                    usual.clear()
                usual.add(key)
        return is_usual


def is_identity(key: str) -> bool:
    """Tell whether an application could read an environ *key* as the identity of a person."""
    if key.startswith("HTTP_"):
        return _IDENTITY.match(_folded(key)) is not None
    return key in _OUR_KEYS or key.startswith("sso.")


def may_say(sender: Sender, key: str) -> bool:
    """Tell whether *sender* may set the header of an environ *key*, if it is a header that only proxies may set."""
    if sender is Sender.QUESTIONER or not key.startswith("HTTP_"):
        return True
    name = _folded(key)
    return not _REWRITTEN.match(name) and (sender is Sender.PROXY or not _FORWARDED.match(name))


def _folded(key: str) -> str:
    """Return a header's name as the most lenient parser reads it.

    Every HTTP at the beginning is dropped, because a client may send a header with the name HTTP_REMOTE_USER.
    """
    name = _PUNCTUATION.sub("", key.upper())
    while name.startswith("HTTP"):
        name = name[4:]
    return name


def introduce(environ: MutableMapping[str, Any], session: Session, header_set: str, site: str = HOME) -> None:
    """Set the identity of the signed-in person in *environ*, for the application of *site*."""
    kept = session.kept.get(header_set)
    if kept is None:
        kept = session.kept[header_set] = _introduction(session, header_set)
    remote_user, profile, in_headers = kept
    environ["REMOTE_USER"] = remote_user
    environ["AUTH_TYPE"] = AUTH_TYPE
    user = environ["sso.user"] = profile.copy()  # a copy, because the application may change it
    user["groups"], user["attributes"], user["site"] = [*session.groups], {**session.attributes}, site
    if in_headers:
        environ.update(in_headers)


def _introduction(session: Session, header_set: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return REMOTE_USER, the result of `describe`, and the identity headers by their keys."""
    email = session.email
    remote_user = email if email.isascii() else email.encode().decode("latin-1")  # PEP 3333
    told = headers(header_set, session) if header_set else ()
    return remote_user, describe(session), {"HTTP_" + name.upper().replace("-", "_"): value for name, value in told}


def describe(session: Session, site: str = HOME) -> dict[str, Any]:
    """Return the description of a person for the application of *site*: environ["sso.user"] (docs/protocol.md)."""
    return {
        "id": session.account_id,
        "email": session.email,
        "name": session.full_name,
        "given_name": session.given_name,
        "family_name": session.family_name,
        "login": session.login,
        "groups": list(session.groups),
        "attributes": dict(session.attributes),
        "provider": session.provider,
        "session": session.public_id,
        "is_admin": session.is_admin,
        "site": site,
    }


def headers(header_set: str, session: Session | None) -> list[tuple[str, str]]:
    """Return every header of the set. A header without a value is empty, so that it overwrites what a client sent."""
    if session is None:
        return [(name, "") for name in HEADER_SETS[header_set]]
    return list(_headers(header_set, session.email, session.full_name, session.login, session.groups))


@lru_cache(_MAX_PEOPLE)
def _headers(header_set: str, *known: Any) -> tuple[tuple[str, str], ...]:
    person = Known(*known)
    return tuple(
        (name, encode(_VALUES[field](person), keep_percent=field == "groups"))
        for name, field in HEADER_SETS[header_set].items()
    )


def encode(value: str, *, keep_percent: bool = False) -> str:
    """Return *value* as a header value.

    Printable ASCII stays unchanged. All other characters, and %, are percent-encoded as UTF-8. With *keep_percent*, %
    stays unchanged too, because some of the value is already percent-encoded.
    """
    if not _NEEDS_QUOTES.search(value):
        return value
    return quote(value, safe=_PRINTABLE + "%" if keep_percent else _PRINTABLE)
