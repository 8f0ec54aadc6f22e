"""Identity in a request: what strangers wrote there is taken out, what the gateway knows is put in.

Pure. Applications and proxies tell each other who somebody is by headers, and a header is what anyone may send. So
everything that could pass for identity goes, in every spelling that a server or a framework folds together:
X-Forwarded-User, X_Forwarded_User and x.forwarded.user are one name. What the gateway itself says stands in environ
keys that no header reaches (REMOTE_USER, AUTH_TYPE, sso.user), and in headers only where an operator asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from sp.sessions import Session

AUTH_TYPE = "jwt-sso"
DEFAULT_SET = "remote"
ASSERTION = "X-Lychgate-Assertion"

_VALUES: dict[str, Callable[[Session], str]] = {
    "email": lambda session: session.email,
    "name": lambda session: session.full_name,
    "login": lambda session: session.login or "",
    "groups": lambda session: ",".join(group.replace("%", "%25").replace(",", "%2C") for group in session.groups),
}
HEADER_SETS: dict[str, dict[str, str]] = {
    "remote": {"Remote-User": "email", "Remote-Email": "email", "Remote-Name": "name", "Remote-Groups": "groups"},
    **{
        name: {f"{start}-User": "email", f"{start}-Email": "email", f"{start}-Preferred-Username": "login",
               f"{start}-Groups": "groups"}
        for name, start in (("x-forwarded", "X-Forwarded"), ("x-auth-request", "X-Auth-Request"))
    },
}  # fmt: skip

# Names without their punctuation, in capitals. Beside our own sets: what other gateways, clouds, meshes and TLS
# terminators use, for an application may have been written for one of those.
_IDENTITY = re.compile(
    r"REMOTE|XREMOTE|AUTHTYPE|AUTHUSER|AUTHENTICATEDUSER|LOGONUSER|PROXYUSER|XPROXYUSER|IMPERSONATE|XIMPERSONATE"
    r"|XFORWARDED(?:USER|EMAIL|NAME|FULLNAME|PREFERREDUSERNAME|LOGIN|UID|GROUP|ROLE|TENANT|ACCESSTOKEN|IDTOKEN)"
    r"|XAUTHREQUEST|XAUTHENTICATED|XAUTHENTIK|XAUTH(?:USER|EMAIL|NAME|GROUP|ROLE|SUBJECT|REALNAME)"
    r"|XWEBAUTH|XLYCHGATE|LYCHGATE|SSO|XSSO|OIDC|XOIDC|MELLON|SHIB|EPPN"
    r"|XUSER(?:ID|NAME|EMAIL|GROUPS?|ROLES?|INFO|LOGIN)?\Z|XEMAIL\Z|XGROUPS?\Z|XROLES?\Z|XUSERNAME"
    r"|XGOOGAUTHENTICATED|XGOOGIAP|XAMZNOIDC|XMSCLIENTPRINCIPAL|XMSTOKEN|CFACCESS|XPOMERIUM|XVOUCH|XCONSUMER"
    r"|XANONYMOUSCONSUMER|XCREDENTIAL|XENDPOINTAPIUSERINFO|TAILSCALEUSER|XTOKENSUBJECT"
    r"|XSSLCLIENT|SSLCLIENT|XCLIENTCERT|CLIENTCERT|XFORWARDEDCLIENTCERT|XFORWARDEDTLSCLIENTCERT|XARRCLIENTCERT"
)
# What only a proxy may say: where a request came from and what it was before somebody rewrote it.
_FORWARDED = re.compile(
    r"XFORWARDED|FORWARDED\Z|VIA\Z|XORIGINAL|XREWRITEURL|XREALIP|XREALHOST|XCLUSTERCLIENTIP|TRUECLIENTIP"
    r"|XHTTPDESTINATIONURL|XPROTO|XSCHEME|XHOST\Z|XURLSCHEME|FRONTENDHTTPS|X?SCRIPTNAME|X?PATHINFO"
)
_PUNCTUATION = re.compile(r"[^A-Z0-9]")
_OUR_KEYS = ("REMOTE_USER", "REMOTE_IDENT", "AUTH_TYPE", "AUTH_USER", "LOGON_USER")
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_NEEDS_QUOTES = re.compile(r"[^ -$&-~]")
_MAX_REMEMBERED = 4096  # names


class Sieve:
    """Takes out of a request's environ what could pass for identity; and what only proxies may say, if none says it.

    A name is judged once and then remembered, for each request brings dozens of them. Strangers choose some of them,
    so what is remembered is bounded.
    """

    def __init__(self) -> None:
        self._harmless: dict[bool, set[str]] = {False: set(), True: set()}

    def clean(self, environ: MutableMapping[str, Any], *, from_proxy: bool) -> None:
        """Remove it from *environ*. *from_proxy*: the socket's peer is a trusted proxy.

        That a stranger forwards for somebody stays to be seen, as environ["lychgate.forwarded"].
        """
        harmless = self._harmless[from_proxy]
        if harmless.issuperset(environ):
            return
        for key in [key for key in environ if key not in harmless]:
            if is_identity(key):
                del environ[key]
            elif not from_proxy and is_forwarded(key):
                del environ[key]
                environ["lychgate.forwarded"] = True
            elif len(harmless) < _MAX_REMEMBERED:
                harmless.add(key)


def is_identity(key: str) -> bool:
    """Tell whether an environ *key* could pass for identity."""
    if key.startswith("HTTP_"):
        return _IDENTITY.match(_folded(key)) is not None
    return key in _OUR_KEYS or key.startswith("sso.")


def is_forwarded(key: str) -> bool:
    """Tell whether an environ *key* is a header that only a proxy may set."""
    return key.startswith("HTTP_") and _FORWARDED.match(_folded(key)) is not None


def _folded(key: str) -> str:
    """Return a header's name as the laxest reader takes it; HTTP_REMOTE_USER may be one as well."""
    name = _PUNCTUATION.sub("", key.upper())
    while name.startswith("HTTP"):
        name = name[4:]
    return name


def introduce(environ: MutableMapping[str, Any], session: Session, header_set: str) -> None:
    """Tell the application behind *environ* who is there."""
    email = session.email
    environ["REMOTE_USER"] = email if email.isascii() else email.encode().decode("latin-1")  # PEP 3333
    environ["AUTH_TYPE"] = AUTH_TYPE
    environ["sso.user"] = describe(session)
    if header_set:
        for name, value in headers(header_set, session):
            environ["HTTP_" + name.upper().replace("-", "_")] = value


def describe(session: Session) -> dict[str, Any]:
    """Return what an application learns of a person: environ["sso.user"] of the wire contract."""
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
    }


def headers(header_set: str, session: Session | None) -> list[tuple[str, str]]:
    """Return every header of the set, also those that are empty, so that none of a stranger's stays in its place."""
    return [
        (name, encode(_VALUES[field](session), keep_percent=field == "groups") if session else "")
        for name, field in HEADER_SETS[header_set].items()
    ]


def encode(value: str, *, keep_percent: bool = False) -> str:
    """Return *value* as a header: printable ASCII as it is, all else percent-encoded as UTF-8, and the % itself.

    *keep_percent* is for a value whose % are escapes already.
    """
    if not _NEEDS_QUOTES.search(value):
        return value
    return quote(value, safe=_PRINTABLE + "%" if keep_percent else _PRINTABLE)
