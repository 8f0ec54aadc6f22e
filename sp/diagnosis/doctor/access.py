"""Probe what a client without a session gets, and whether it reaches endpoints that only the proxy should use."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from sp.diagnosis.doctor.chain import PAGE, SCRIPT, Answered, Chain, is_marked
from sp.diagnosis.doctor.tickets import PATH
from sp.diagnosis.inspector import Finding

ASKED_FOR = f"{PATH}page?x=1&y=a%26b"
USUALLY_FORGOTTEN = (
    *("/", "/api/", "/api/v1/doctor", "/admin/", "/static/doctor.css", "/assets/doctor.js", "/media/doctor.png"),
    *("/doctor.css", "/doctor.js", "/doctor.png", "/favicon.ico", "/robots.txt", "/index.html", "/index.php"),
    *("/.well-known/doctor", "/ws/doctor", "/graphql", "/health", "/status", "/favicon.ico/x"),
)
METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")
OF_PROXIES = (  # the headers with which a proxy describes the request
    ("X-Original-URL", f"{PATH}x"),
    ("X-Original-Method", "GET"),
    ("X-Forwarded-Uri", f"{PATH}x"),
    ("X-Forwarded-Method", "GET"),
)
QUESTIONS = (
    "/sso/auth/nginx",
    "/sso/auth/forward",
    "/sso/auth%2fnginx",
    "/sso/auth%2fforward",
    "/sso%2fauth%2fforward",
)
REFUSED_BY_THE_GATEWAY = "The request of the proxy is invalid"


def signed_out(chain: Chain) -> Iterator[Finding]:
    """Probe a page, a script's request, and the paths and methods that people easily forget in a configuration."""
    if not chain.needs_sign_in("GET", f"{PATH}page"):
        yield Finding("sign_in", "skipped", "the rules let anyone open every page")
        return
    yield _page(chain)
    script = chain.ask(f"{PATH}page", SCRIPT, ticket=False)
    yield chain.judge(
        "script_refused",
        script.status == 401,
        "a script without a session gets 401",
        f"a script without a session gets {script.said}, where the gateway answers 401",
    )
    yield _open_paths(chain)


def _page(chain: Chain) -> Finding:
    answer = chain.ask(ASKED_FOR, PAGE, ticket=False)
    location = urlsplit(answer.header("Location"))
    start = f"{location.scheme}://{location.netloc}{location.path}"
    asked_for = parse_qs(location.query).get("return_to", [""])[0]
    if answer.status not in (302, 303) or start != f"{chain.site_url}{chain.prefix}/sso/start":
        explanation = f"a person without a session gets {answer.said} instead of a redirect to the sign-in"
        return chain.found("sign_in", explanation)
    return chain.judge(
        "sign_in",
        asked_for == ASKED_FOR,
        "a person without a session is sent to the sign-in, and back to the page that was asked for",
        f"the sign-in leads back to {asked_for!r} instead of {ASKED_FOR!r}: the gateway is asked about another URL",
    )


def _open_paths(chain: Chain) -> Finding:
    tried = [("GET", path) for path in USUALLY_FORGOTTEN] + [(method, f"{PATH}x") for method in METHODS]
    found = [
        f"{method} {path}"
        for method, path in tried
        if chain.needs_sign_in(method, path) and _is_open(chain.ask(path, SCRIPT, method=method, ticket=False))
    ]
    return chain.judge(
        "open_paths",
        not found,
        f"{len(tried)} paths and methods that are easily forgotten are all protected",
        f"the rules ask for a sign-in, and no sign-in is needed for {', '.join(found)}",
    )


def _is_open(answer: Answered) -> bool:
    return 200 <= answer.status < 300 or is_marked(answer) or answer.header("Doctor-Echo") != ""


def questions(chain: Chain) -> Iterator[Finding]:
    """Probe whether a client reaches the endpoints with which proxies ask the gateway."""
    if chain.is_in_process:
        yield Finding("question", "skipped", "no proxy asks the gateway here")
        return
    site = urlsplit(chain.site_url)
    headers = (*OF_PROXIES, ("X-Forwarded-Host", site.netloc), ("X-Forwarded-Proto", site.scheme))
    reached = []
    for path in QUESTIONS:
        answer = chain.ask(f"{chain.prefix}{path}", headers)
        if 200 <= answer.status < 300 or REFUSED_BY_THE_GATEWAY in answer.text:
            reached.append(path)
    yield chain.judge(
        "question",
        not reached,
        "clients cannot ask the gateway in the name of the proxy",
        f"clients reach {', '.join(reached)}: they can ask in the name of the proxy, and try out rules and sessions",
    )
