"""Find the session, the decision of the rules and the sign-in URL, for the gateway's three entry points.

The entry points are the WSGI middleware, the ASGI middleware and forward-auth. An entry point knows how its server or
proxy describes a request, and which answer the server or proxy expects. All decisions are made here and in
`sp.policy.decision`, so that no entry point can allow more than another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_from_bytes, urlencode, urlsplit

from sp.gateway.destinations import Destinations
from sp.policy import method_overrides as overrides
from sp.policy.decision import MAX_REMEMBERED as MAX_REMEMBERED_REQUESTS
from sp.policy.decision import Decision, Policy, Verdict
from sp.redirects import MAX_LENGTH
from sp.request.kind import WEBSOCKET, is_websocket
from sp.request.trusted_proxies import Peers
from sp.routes import HOME, Routes
from sp.rule_counters import difference
from sp.sessions.cookies import read_session_cookie, session_cookie_name, without_ours
from sp.sessions.store import API, BROWSER, ID_LENGTH, Session, hash_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from sp.components import Components
    from sp.config import Config
    from sp.rule_counters import RuleCounts
    from sp.sessions.store import SessionStore
    from sp.sites.in_force import InForce
    from sp.sites.site import Site

UNUSUAL = frozenset((*overrides.HEADERS, *WEBSOCKET))
MAX_REMEMBERED = 8192  # Cookie headers; they take about 4 MB if their length is ordinary
MAX_REMEMBERED_LENGTH = 2048  # characters of each Cookie header
LEAST_REMEMBERED = 128  # headers or requests that are cached for each site, even if there are many sites
_BY_RULES = int(Verdict.FORBID)  # the strictest verdict of a rule
_BEARER = "bearer "
HAS_TOKEN = "lychgate.has_access_token"  # the request has a valid access token of the gateway; no header sets this key
_IN_PATH = "/:@!$&'()*+,;=~-._"
AS_BROWSERS_SEND = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"<>#\\')  # unescaped in a query


class Presented(NamedTuple):
    """The content of a Cookie header.

    `id_hash` is the hash of the gateway's session id, or None if there is none. `others` are the cookies for the
    application, without those of the gateway.
    """

    id_hash: bytes | None
    others: str


class CookieReader:
    """Reads Cookie headers. A browser sends the same header with each request, so the results are cached."""

    def __init__(self, name: str, remembered: int = MAX_REMEMBERED) -> None:
        self._name = name
        self._remembered = lru_cache(remembered)(self._read)

    def read(self, header: str) -> Presented:
        """Return the content of a Cookie *header*."""
        return self._remembered(header) if len(header) <= MAX_REMEMBERED_LENGTH else self._read(header)

    def _read(self, header: str) -> Presented:
        secret = read_session_cookie(header, self._name)
        id_hash = hash_id(secret) if secret is not None and len(secret) == ID_LENGTH else None
        return Presented(id_hash, without_ours(header))


class SiteAccess:
    """Decides about requests for one site, by its rules and its session cookie, and returns its sign-in URL."""

    def __init__(
        self,
        site: Site,
        config: Config,
        sessions: SessionStore,
        counts: RuleCounts,
        cookies: CookieReader,
        remembered: int,
    ) -> None:
        self.site, self.name = site, site.name
        self.header_set = config.identity_headers if site.identity_headers is None else site.identity_headers
        self._find, self._find_at_once = sessions.find_by_hash, sessions.find_at_once
        self._policy = Policy(site.rules, remembered)
        self._trial, self._counts, self.count = self._policy.trial, counts, counts.of_site(site.name)
        self._read_cookies = cookies.read
        self._origin = _origin(site.url)
        self._start = f"{site.url}{config.prefix}/sso/start"

    def possible(self, method: str, path: str) -> tuple[Decision, ...]:
        """Return the possible decisions about a request, as `Policy.possible` does.

        If there are shadow rules, the result is empty.
        """
        return self._policy.possible(method, path) if self._trial is None else ()

    def presented(self, environ: Mapping[str, Any]) -> Presented:
        """Return the content of the cookies of a request."""
        return self._read_cookies(environ.get("HTTP_COOKIE", ""))

    def session(self, environ: WSGIEnvironment, presented: Presented, at_once: bool = False) -> Session | None:
        """Return the live session that a request belongs to, by cookie or by access token. Raises StoreUnavailable.

        A browser's session is valid only at the site for which it was opened. An access token is valid at every site,
        so the application must not get it. Therefore a valid access token is marked in *environ* even if the session
        comes from the cookie. With *at_once*, raises NotCached instead of asking the database.
        """
        session, find = None, self._find_at_once if at_once else self._find
        if (id_hash := presented.id_hash) is not None:
            session = find(id_hash, BROWSER)
            if session is not None and session.site != self.name:
                session = None
        if "HTTP_AUTHORIZATION" in environ and (secret := access_token_in(environ["HTTP_AUTHORIZATION"])):
            of_token = find(hash_id(secret), API)
            environ[HAS_TOKEN] = of_token is not None
            return session if session is not None else of_token
        return session

    def decide(
        self,
        environ: Mapping[str, Any],
        method: str,
        path: str,
        session: Session | None,
        host: str,
        spellings: Collection[str] = (),
        query: str = "",
    ) -> Decision:
        """Return the decision about *method* *path*. *spellings* are other forms of the path in the request line.

        *host* is the host to which the client sent the request, as the server or the proxy reports it. The raw *query*
        is read only to find a method override.
        """
        methods = overrides.in_query(query) if query else ()
        if environ.keys().isdisjoint(UNUSUAL):
            if not spellings and not methods:  # nearly always
                decision = self._policy.decide(method, path, session)
                if self._trial is None and decision.verdict <= _BY_RULES:
                    self.count(decision.number)
                    return decision
                return self._counted(decision, method, path, session)
            return self._decide(method, path, session, spellings=spellings, overrides=methods)
        foreign = (
            session is not None
            and is_websocket(environ)
            and session.kind == BROWSER
            and not self._is_own_page(environ.get("HTTP_ORIGIN", ""), host)
        )
        return self._decide(
            method,
            path,
            session,
            spellings=spellings,
            overrides=[*overrides.in_headers(environ), *methods],
            foreign_page=foreign,
        )

    def _decide(self, method: str, path: str, session: Session | None, **more: Any) -> Decision:
        return self._counted(self._policy.decide(method, path, session, **more), method, path, session, **more)

    def _counted(
        self,
        decision: Decision,
        method: str,
        path: str,
        session: Session | None,
        *,
        spellings: Collection[str] = (),
        overrides: Collection[str] = (),
        foreign_page: bool = False,
    ) -> Decision:
        """Count a decision, and compare it with the decision that the shadow rules would make."""
        if decision.verdict > _BY_RULES:
            return decision  # rejected before the rules
        self.count(decision.number)
        if self._trial is not None:
            more = {"spellings": spellings, "overrides": overrides}
            trial = self._trial.decide(method, path, session, foreign_page=foreign_page, **more)
            if trial.verdict is not decision.verdict and (
                number := self._policy.shadow_behind(trial, method, path, **more)
            ):
                asked = method, path, session.account_id if session is not None else None
                found = difference(self.name, number, (decision.verdict, trial.verdict), asked)
                self._counts.differs(self.site.rules[number - 1], found)
        return decision

    def _is_own_page(self, origin: str, host: str) -> bool:
        """Tell whether the page that opens a WebSocket belongs to this host.

        *origin* is the Origin header, which a browser always sends in a WebSocket handshake (RFC 6455, 4.1).
        """
        scheme, _colon, _host = self._origin.partition("://")
        return origin == self._origin or (bool(host) and origin.lower() == f"{scheme}://{host.lower()}")

    def sign_in_url(self, asked_for: str) -> str:
        """Return the URL where a browser signs in and then returns to *asked_for*. It begins with this site's URL."""
        if len(asked_for) > MAX_LENGTH:
            asked_for = asked_for.partition("?")[0]  # too long; without the query it may be short enough
        return f"{self._start}?{urlencode({'return_to': asked_for})}"


class SitesInForce:
    """The access to each site, for one set of sites and rules. A reload replaces the whole set."""

    def __init__(self, current: InForce, of: Mapping[str, SiteAccess]) -> None:
        self.current, self._of = current, of
        self.destinations = Destinations()

    def at(self, host: str) -> SiteAccess | None:
        """Return what decides about requests for the site that a Host header names, or None if it names no site."""
        site = self.current.hosts.find(host)
        return self._of[site.name] if site is not None else None

    @property
    def home(self) -> SiteAccess:
        """The access to the site of SP_EXTERNAL_URL."""
        return self._of[HOME]


class AccessControl:
    """The gateway's settings and the access to each site, in one worker."""

    def __init__(self, core: Components) -> None:
        config = core.config
        self.config = config
        self.own = Routes(config.prefix, demo=config.is_demo)
        self.peers = Peers(config.trusted_proxies)
        self.host = config.host
        self._counts = core.rule_counts
        self._rulebook, self._reloader, self._sessions = core.rulebook, core.reloader, core.sessions
        self._adopted = self._adopt(core.rulebook.current)

    def at(self, host: str) -> SiteAccess | None:
        """Return what decides about requests for the site that a Host header names, or None if it names no site."""
        return self.in_force().at(host)

    def in_force(self) -> SitesInForce:
        """Return access to the sites in force. If a check of the settings file is due, start it in a thread."""
        if monotonic() >= self._reloader.due:
            self._reloader.look_soon()
        current, adopted = self._rulebook.current, self._adopted
        if adopted.current is not current:
            adopted = self._adopted = self._adopt(current)
        return adopted

    @property
    def has_further_sites(self) -> bool:
        """Whether sites besides home are in force."""
        return len(self._rulebook.current.sites) > 1

    def _adopt(self, current: InForce) -> SitesInForce:
        """Return access to each site.

        Strangers can fill the caches, so their total size is limited. There is one cache of Cookie headers for each
        cookie name, and one cache of decisions for each site. The caches of a kind share one limit, but each has room
        for at least LEAST_REMEMBERED entries.
        """
        sites, config = current.sites, self.config
        self._counts.adopt({site.name: site.rules for site in sites})
        names = {site.name: session_cookie_name(config.https, site.cookie_suffix) for site in sites}
        different = set(names.values())
        cookies = {name: CookieReader(name, _share(MAX_REMEMBERED, len(different))) for name in different}
        remembered = _share(MAX_REMEMBERED_REQUESTS, len(sites))
        of = {
            site.name: SiteAccess(site, config, self._sessions, self._counts, cookies[names[site.name]], remembered)
            for site in sites
        }
        return SitesInForce(current, of)


def _share(remembered: int, parts: int) -> int:
    return max(LEAST_REMEMBERED, remembered // parts)


def access_token_in(authorization: str) -> str:
    """Return the Bearer token (RFC 6750, section 2.1) if it has the length of the gateway's tokens.

    Otherwise return an empty text. The token is not verified here.
    """
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return ""
    secret = authorization[len(_BEARER) :].strip()
    return secret if len(secret) == ID_LENGTH else ""


def decoded(path: str) -> str:
    """Return a WSGI native path (PEP 3333: bytes as latin-1) as text. If it is not UTF-8, return an empty text.

    Overlong encodings of "." and "/" are not valid UTF-8, but some servers accept them. So they must not pass here.
    """
    if path.isascii():
        return path
    try:
        return path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return ""


def asked_for(environ: Mapping[str, Any]) -> str:
    """Return the path and the query of the request, encoded as a browser does it."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return with_query(quote_from_bytes(path.encode("latin-1"), safe=_IN_PATH) or "/", environ.get("QUERY_STRING", ""))


def with_query(path: str, query: str) -> str:
    """Return *path* and a raw *query*, percent-encoded where necessary."""
    return f"{path}?{quote_from_bytes(query.encode('latin-1', 'replace'), safe=AS_BROWSERS_SEND)}" if query else path


def _origin(external_url: str) -> str:
    parts = urlsplit(external_url)
    standard = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" if parts.port in (None, standard) else f"{parts.scheme}://{host}:{parts.port}"
