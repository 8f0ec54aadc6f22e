"""Answer a denied request: a page for a person, JSON for a script, with the same reason in both.

The gateway's own Flask application renders the pages, at an internal path that no URL reaches. It finds the reason in
the environ, under a key that no header can set. Answers without a page come from this module, without Flask.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.errors import StoreUnavailable
from shared.look import HERE
from shared.phrases import Phrase
from shared.settings import is_loopback
from sp.policy.decision import Rule, Verdict
from sp.request.kind import is_navigation
from sp.request.trusted_proxies import OwnHost
from sp.views.denied import INTERNAL_PATH, KEY, Denial

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from sp.sessions.store import Session


CHALLENGE = ("WWW-Authenticate", 'Bearer realm="lychgate"')  # RFC 6750, section 3


def why(verdict: Verdict, rule: Rule, session: Session | None) -> Denial:
    """Return the denial for a *verdict* that is neither "allow" nor "sign in"."""
    if verdict is Verdict.FORBID:
        text = Phrase("You are signed in, but your account may not open this page.")
        return Denial(403, "forbidden", Phrase("Access denied"), text, session, tuple(_missing(rule)))
    if verdict is Verdict.FOREIGN_PAGE:
        text = Phrase("A page of another site tried to open this connection in your name. It was blocked.")
        return Denial(403, "foreign_origin", Phrase("Request from another site"), text, session)
    text = Phrase(
        'The URL contains "..", "//" or encoded characters that different servers interpret differently. '
        "Check the URL, or go to the page through a link."
    )
    return Denial(400, "path_ambiguous", Phrase("This URL is ambiguous"), text)


def foreign_host(host: str, own: OwnHost, status: int = 400) -> Denial:
    """Return the denial of a request for a foreign host.

    In a demo without settings, the gateway guesses its own port. If the request has another port on a loopback host,
    the guess is wrong, and the denial explains this instead.
    """
    if own.is_guess and is_loopback(host.rpartition(":")[0] or host):
        return _unknown_port(host, own.external_url, status)
    text = Phrase(
        'You opened this site as "%(host)s". Sign-in works under one host name only, because browsers return '
        "cookies only to the host that set them. Use the link below. If you run this site and people should use this "
        "name, set it in SP_EXTERNAL_URL, or list it under [sites] in the file of SP_CONFIG. If there is a proxy in "
        "front, it must pass on the Host header.",
        host=host[:100],
    )
    return Denial(status, "host_foreign", Phrase("This site has another host name"), text, link=own.external_url)


def _unknown_port(host: str, guess: str, status: int) -> Denial:
    """Return the denial for a demo that runs inside another server and does not know that server's port.

    Its redirects would go to a wrong URL.
    """
    text = Phrase(
        'You opened this site as "%(host)s", but this demo has no settings and assumes the URL %(guess)s. Restart it '
        "with SP_EXTERNAL_URL=http://%(host)s, and with SP_SECRET_KEY for real users.",
        host=host[:100],
        guess=guess,
    )
    return Denial(status, "host_foreign", Phrase("This site does not know its own URL"), text)


def no_application() -> Denial:
    """Return the denial of a request that came directly to the gateway, for a site that has no application here.

    Usually, the application of that site is behind a proxy, which asks the gateway through forward-auth. Or the
    application is new in the file of SP_CONFIG, and the gateway was not restarted since.
    """
    text = Phrase(
        "You reached this site by a way that leads to no page. Try its usual URL. If you run the site, see the "
        "documents for the code site_without_application."
    )
    return Denial(404, "site_without_application", Phrase("Nothing to show here"), text)


def store_down() -> Denial:
    """Return the denial of a request that cannot be answered now, because the database does not answer."""
    explanation, remedy = Phrase(StoreUnavailable.explanation), Phrase(StoreUnavailable.remedy)
    text = Phrase("%(explanation)s %(remedy)s", explanation=explanation, remedy=remedy)
    return Denial(503, StoreUnavailable.code, Phrase("Temporarily unavailable"), text, headers=(("Retry-After", "10"),))


@dataclass(frozen=True)
class DeniedResponses:
    """Answers denied requests, with pages of the gateway's Flask application *own* or without a page."""

    own: WSGIApplication
    prefix: str
    netloc: str
    common: tuple[tuple[str, str], ...] = field(
        default=(("Cache-Control", "no-store"), ("Vary", "Cookie"), ("X-Content-Type-Options", "nosniff"))
    )

    def turn_away(
        self, reason: Denial, environ: WSGIEnvironment, start_response: StartResponse, method: str = ""
    ) -> Iterable[bytes]:
        """Answer a person with a page and a script with JSON. *method* is the method of the denied request."""
        if is_navigation(environ, method or environ["REQUEST_METHOD"]):
            return self.own(self._to_internal_path(environ, reason), start_response)
        body: dict[str, Any] = {"error": reason.code, "error_description": str(reason.text)}
        if reason.session is not None:
            body["user"] = reason.session.email
        if reason.missing:
            body["missing"] = [str(phrase) for phrase in reason.missing]
        return self.say(environ, start_response, reason.status, json.dumps(body), "application/json", reason.headers)

    def say(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        status: int,
        body: str,
        content_type: str = "text/plain; charset=utf-8",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Iterable[bytes]:
        """Answer with *body*, without Flask."""
        octets = body.encode()
        described = [("Content-Type", content_type), ("Content-Length", str(len(octets)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", [*described, *self.common, *headers])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [octets]

    def _to_internal_path(self, environ: WSGIEnvironment, reason: Denial) -> WSGIEnvironment:
        return {
            **environ,
            "REQUEST_METHOD": "HEAD" if environ["REQUEST_METHOD"] == "HEAD" else "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": f"{self.prefix}{INTERNAL_PATH}",
            "QUERY_STRING": "",
            "HTTP_HOST": self.netloc,
            "CONTENT_LENGTH": "0",
            "wsgi.input": io.BytesIO(),
            KEY: reason,
            HERE: _asked_for(environ),
        }


def _asked_for(environ: WSGIEnvironment) -> str:
    """Return the path and query of the request, percent-encoded."""
    query = environ.get("QUERY_STRING", "")
    path = quote(environ.get("PATH_INFO", "").encode("latin-1"), safe="/:@!$&'()*+,;=~")
    return f"{environ.get('SCRIPT_NAME', '')}{path}{'?' + query if query else ''}"


def _missing(rule: Rule) -> Iterable[Phrase]:
    """Yield the groups and e-mail domains that have access.

    People who have access are not named. The text says only that some people are listed by e-mail.
    """
    if rule.groups:
        groups = sorted(rule.groups)
        if len(groups) == 1:
            yield Phrase("the group %(group)s", group=groups[0])
        else:
            yield Phrase("one of the groups %(groups)s", groups=", ".join(groups))
    if rule.email_domains:
        yield Phrase("an e-mail address at %(domains)s", domains=" / ".join(sorted(rule.email_domains)))
    if rule.users:
        yield Phrase("to be listed by e-mail address")
