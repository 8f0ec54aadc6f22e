"""The gateway as WSGI middleware: stands in front of any application and tells it who is there.

    from sp.gateway import Gateway
    application = Gateway(application)

Safe when the WSGI server hands over what the client sent: identity is removed from the request in every spelling
before anything else, and then put into environ keys that no header can reach. The application is never called before
the decision is made. Bodies, streams and `close()` are the application's own affair and pass through untouched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from shared.errors import StoreUnavailable
from sp.cookies import is_ours, read_session_cookie, session_cookie_name
from sp.policy import Decision, Rule, Verdict, decide
from sp.sessions import Session

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AUTH_TYPE = "jwt-sso"
OWN_EXACT = frozenset(
    {"/login", "/logout", "/access/jwt", "/account", "/api/userinfo", "/.well-known/jwks.json", "/healthz", "/readyz",
     "/metrics", "/settings/sso/jwt", "/settings/users", "/settings/activity"}
)  # fmt: skip
OWN_PREFIXES = ("/sso/", "/access/jwt/", "/account/", "/settings/sso/jwt/", "/settings/users/", "/settings/activity/")

# Headers by which proxies and applications tell each other who somebody is, without the punctuation that servers and
# frameworks fold together: X-Forwarded-User, X_Forwarded_User and x.forwarded.user are one and the same.
IDENTITY = re.compile(
    r"(?:REMOTE|XREMOTE|XAUTHREQUEST|XAUTHENTICATED|XAUTHUSER|XAUTHEMAIL|XAUTHENTIK|XWEBAUTH|XLYCHGATE|SSO|XSSO"
    r"|XFORWARDED(?:USER|EMAIL|NAME|PREFERREDUSERNAME|GROUPS|ACCESSTOKEN)|AUTHTYPE)"
)
_PUNCTUATION = re.compile(r"[^A-Z0-9]")
MAX_REMEMBERED_NAMES = 4096


class Gateway:
    """Wraps *app*. Settings come from the environment unless a ready gateway application is given."""

    def __init__(self, app: WSGIApplication, own: Any = None) -> None:
        from sp import create_app

        self.app = app
        self.own = own or create_app()
        self._core = self.own.extensions["lychgate"]
        config = self._core.config
        self._cookie = session_cookie_name(config.https)
        self._prefix = config.prefix
        self._external_url = config.external_url
        self._rules: tuple[Rule, ...] = ()
        self._is_identity: dict[str, bool] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Decide, and then let the application, our own pages or a refusal answer."""
        self._remove_identity(environ)
        path = environ.get("PATH_INFO", "") or "/"
        if self._is_own(path):
            answer: Iterable[bytes] = self.own.wsgi_app(environ, start_response)
            return answer
        try:
            session = self._session(environ)
        except StoreUnavailable:
            return self._unavailable(environ, start_response)
        person = None if session is None else (session.email, session.groups)
        decision = decide(self._rules, environ["REQUEST_METHOD"], _text(path), person)
        if decision.verdict is not Verdict.LET_IN:
            return self._turn_away(decision, session, environ, start_response)
        if session is not None:
            environ["REMOTE_USER"] = _native(session.email)
            environ["AUTH_TYPE"] = AUTH_TYPE
            environ["sso.user"] = describe(session)
        _withhold_cookies(environ)
        return self.app(environ, start_response)

    def _is_own(self, path: str) -> bool:
        if self._prefix:
            return path.startswith(self._prefix + "/")
        return path in OWN_EXACT or path.startswith(OWN_PREFIXES)

    def _session(self, environ: WSGIEnvironment) -> Session | None:
        header = environ.get("HTTP_COOKIE")
        secret = read_session_cookie(header, self._cookie) if header else None
        return self._core.sessions.find(secret) if secret else None

    def _remove_identity(self, environ: WSGIEnvironment) -> None:
        known = self._is_identity
        found = []
        for key in environ:
            verdict = known.get(key)
            if verdict is None:
                verdict = self._judge(key)
            if verdict:
                found.append(key)
        for key in found:
            del environ[key]

    def _judge(self, key: str) -> bool:
        verdict = key in ("REMOTE_USER", "REMOTE_IDENT", "AUTH_TYPE") or key.startswith("sso.")
        if key.startswith("HTTP_"):
            verdict = IDENTITY.match(_PUNCTUATION.sub("", key[5:].upper())) is not None
        if len(self._is_identity) >= MAX_REMEMBERED_NAMES:
            self._is_identity.clear()  # strangers choose the names of headers: what is remembered of them is bounded
        self._is_identity[key] = verdict
        return verdict

    def _turn_away(
        self, decision: Decision, session: Session | None, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if decision.verdict is Verdict.AMBIGUOUS:
            return _answer(start_response, 400, "This address can be read in two ways, and is refused for that.")
        if decision.verdict is Verdict.FORBID:
            return _answer(start_response, 403, "You are signed in, but may not see this page.")
        if not is_navigation(environ):
            body = {"error": "sign_in_required", "error_description": "Sign in first.", "sign_in_url": self._start("/")}
            headers = [("WWW-Authenticate", 'Bearer realm="lychgate"')]
            return _answer(start_response, 401, json.dumps(body), "application/json", headers)
        status = 302 if environ["REQUEST_METHOD"] in ("GET", "HEAD") else 303
        location = self._start(_asked_for(environ))
        return _answer(start_response, status, "Sign in first.", headers=[("Location", location)])

    def _start(self, return_to: str) -> str:
        return f"{self._external_url}{self._prefix}/sso/start?{urlencode({'return_to': return_to})}"

    def _unavailable(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_navigation(environ):
            body = json.dumps({"error": StoreUnavailable.code, "error_description": StoreUnavailable.explanation})
            return _answer(start_response, 503, body, "application/json", [("Retry-After", "10")])
        text = f"{StoreUnavailable.explanation} {StoreUnavailable.remedy}"
        return _answer(start_response, 503, text, headers=[("Retry-After", "10")])


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


def is_navigation(environ: Mapping[str, Any]) -> bool:
    """Tell whether a person's browser asks for a page, rather than a script or a program for data."""
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if environ.get("HTTP_UPGRADE") or environ.get("HTTP_X_REQUESTED_WITH", "").lower() == "xmlhttprequest":
        return False
    if mode is not None:
        return bool(
            mode == "navigate" and environ.get("HTTP_SEC_FETCH_DEST", "document") in ("document", "iframe", "frame")
        )
    accept = environ.get("HTTP_ACCEPT", "*/*")
    return "text/html" in accept or ("*/*" in accept and "json" not in accept)


def _asked_for(environ: Mapping[str, Any]) -> str:
    """Return the path that was asked for. After a form's POST it is asked for with GET: its fields are gone."""
    path = quote(_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/", safe="/:@!$&'()*+,;=~-._")
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _withhold_cookies(environ: WSGIEnvironment) -> None:
    """Keep our own cookies from the application: it needs none of them, and can leak none."""
    header = environ.get("HTTP_COOKIE")
    if header is None or "sp_" not in header:
        return
    kept = [part for part in header.split(";") if not is_ours(part.partition("=")[0])]
    if kept:
        environ["HTTP_COOKIE"] = ";".join(kept).strip()
    else:
        del environ["HTTP_COOKIE"]


def _answer(
    start_response: Callable[..., Any],
    status: int,
    body: str,
    content_type: str = "text/plain; charset=utf-8",
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    octets = body.encode()
    common = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(octets))),
        ("Cache-Control", "no-store"),
        ("Vary", "Cookie"),
    ]
    start_response(f"{status} {HTTPStatus(status).phrase}", [*common, *headers])
    return [octets]


def _text(native: str) -> str:
    """Return a WSGI native string (PEP 3333: bytes as latin-1) as the text that its bytes spell in UTF-8."""
    return native.encode("latin-1").decode("utf-8", "replace")


def _native(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")
