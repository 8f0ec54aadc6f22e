"""Let a client send headers that only a proxy or the gateway may set, and see whether they arrive."""

from __future__ import annotations

from collections.abc import Iterator

from sp.diagnosis.doctor.chain import Chain, Echoed, Headers
from sp.diagnosis.inspector import Finding
from sp.request.identity_headers import ASSERTION, HEADER_SETS

SPOOFED_IP = "203.0.113.77"  # reserved for documentation: RFC 5737
SPOOFED_HOST = "doctor.invalid"  # reserved: RFC 6761
MARK = "doctor-was-here"
OURS = tuple(dict.fromkeys([name for names in HEADER_SETS.values() for name in names] + [ASSERTION]))
OF_OTHERS = (
    "X-Remote-User",
    "X-Remote-Email",
    "X-Remote-Groups",
    "X-Auth-User",
    "X-Auth-Email",
    "X-Authenticated-User",
    "X-Authentik-Username",
    "X-Authentik-Email",
    "X-Webauth-User",
    "X-Webauth-Email",
    "X-User",
    "X-User-Id",
    "X-User-Email",
    "X-Username",
    "X-Email",
    "X-Groups",
    "SSO-User",
    "Auth-User",
    "X-Forwarded-Client-Cert",
)
OF_URLS = (
    "X-Original-URL",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "X-Script-Name",
    "Script-Name",
)
OF_METHODS = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


def at_the_gateway(chain: Chain, first: Echoed) -> Iterator[Finding]:
    """Probe which client IP, scheme and host the gateway sees, and whether a client can choose them."""
    said = first.content
    if not said.get("peer_trusted"):
        if said.get("forwarded"):
            explanation = f"the proxy at {said.get('peer')} is not in SP_TRUSTED_PROXIES, so every client has its IP"
            yield chain.found("proxy_trusted", explanation)
        else:
            yield Finding("proxy_trusted", "skipped", "no proxy in front of the gateway reports a client")
    else:
        yield Finding("proxy_trusted", "passed", f"the gateway trusts the proxy at {said.get('peer')}")
    yield _client_ip(chain)
    yield _scheme(chain, first)
    yield _host(chain)


def _client_ip(chain: Chain) -> Finding:
    attempts: tuple[Headers, ...] = (
        (("X-Forwarded-For", SPOOFED_IP),),
        (("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", SPOOFED_IP)),
        (("Forwarded", f"for={SPOOFED_IP}"), ("X-Real-IP", SPOOFED_IP), ("True-Client-IP", SPOOFED_IP)),
    )
    believed = [headers for headers in attempts if _believed(chain, headers, "client") == SPOOFED_IP]
    return chain.judge(
        "client_ip",
        not believed,
        "clients cannot choose the IP that the gateway sees",
        "a client chooses its IP with a header, so it can evade limits on wrong passwords, and logs are wrong",
    )


def _scheme(chain: Chain, first: Echoed) -> Finding:
    told = str(first.content.get("scheme"))
    if told != chain.url.scheme:
        return chain.found("scheme", f"the gateway is told {told}, but people use {chain.url.scheme}")
    other = "http" if told == "https" else "https"
    believed = _believed(chain, (("X-Forwarded-Proto", other), ("X-Forwarded-Ssl", "on")), "scheme")
    return chain.judge(
        "scheme",
        believed != other,
        "clients cannot choose the scheme that the gateway sees",
        "a client chooses with X-Forwarded-Proto whether the gateway sees http or https",
    )


def _host(chain: Chain) -> Finding:
    answer = chain.ask_gateway((("X-Forwarded-Host", SPOOFED_HOST),))
    host = str(answer.echo.content.get("host")) if answer.echo else ""
    return chain.judge(
        "forwarded_host",
        SPOOFED_HOST not in host and (answer.echo is not None or SPOOFED_HOST not in answer.text),
        "clients cannot choose the host that the gateway sees",
        "a client chooses the host that the gateway sees with X-Forwarded-Host, so a cache can be poisoned",
    )


def request_id(chain: Chain) -> Finding:
    """Probe whether a client chooses the ID that its request has in logs."""
    attempts: tuple[Headers, ...] = (
        (("X-Request-Id", MARK),),
        (("X-Request-Id", f"{MARK}-1"), ("X-REQUEST-ID", f"{MARK}-2")),
    )
    echoes = [chain.ask_gateway(headers).echo for headers in attempts]
    if chain.is_forward_auth:
        echoes += [chain.ask_application(headers=headers).echo for headers in attempts]
    return chain.judge(
        "request_id",
        not any(echo and MARK in echo.header("X-Request-Id") for echo in echoes),
        "clients cannot choose the ID that their requests have in logs",
        "a client chooses with X-Request-Id the ID that its request has in logs, so it can make two requests look like "
        "one",
    )


def _believed(chain: Chain, headers: Headers, what: str) -> str:
    echo = chain.ask_gateway(headers).echo
    return str(echo.content.get(what)) if echo else ""


def at_the_application(chain: Chain) -> Iterator[Finding]:
    """Probe which headers of a client reach the application."""
    yield _foreign_host(chain)
    yield _arriving(
        chain,
        "identity_headers",
        [*_plain(), *_doubled()],
        "no identity header of a client reaches the application",
        "a client can claim to be somebody: {} reach the application as the client sent them",
    )
    yield _arriving(
        chain,
        "header_spelling",
        [_respelled("_"), _respelled(".")],
        "no identity header with an underscore or a dot reaches the application",
        "{} reach the application; many servers read Remote_User as Remote-User",
    )
    if chain.is_forward_auth:
        yield _arriving(
            chain,
            "url_headers",
            [[(name, f"/{MARK}") for name in OF_URLS] + [(name, MARK) for name in OF_METHODS]],
            "no header reaches the application that names another URL or method than the gateway checked",
            "{} reach the application; one that reads them serves another page than the gateway checked",
        )
        yield _upgrade(chain)
    yield from _two_lengths(chain)


def _arriving(chain: Chain, check: str, attempts: list[list[tuple[str, str]]], good: str, bad: str) -> Finding:
    arrived: dict[str, None] = {}
    for headers in attempts:
        if echo := chain.ask_application(headers=headers).echo:
            arrived.update(dict.fromkeys(echo.carriers(MARK)))
            if MARK in str(echo.content.get("remote_user")):
                arrived["REMOTE_USER"] = None
    return chain.judge(check, not arrived, good, bad.format(", ".join(arrived)))


def _plain() -> list[list[tuple[str, str]]]:
    names = [*OURS, *OF_OTHERS]
    return [[(name, f"{MARK}@lychgate.invalid") for name in some] for some in (names[::2], names[1::2])]


def _doubled() -> list[list[tuple[str, str]]]:
    """Return each header twice, once in capital letters, because some proxies replace only the first one."""
    return [[(spelled, MARK) for name in OURS for spelled in (name, name.upper())]]


def _respelled(separator: str) -> list[tuple[str, str]]:
    return [(name.replace("-", separator), MARK) for name in OURS]


def _foreign_host(chain: Chain) -> Finding:
    by_header = chain.ask_application(host=SPOOFED_HOST)
    by_line = chain.ask(f"http://{SPOOFED_HOST}/lychgate-doctor/x")
    seen = [answer.echo.header("Host") for answer in (by_header, by_line) if answer.echo]
    return chain.judge(
        "foreign_host",
        not any(SPOOFED_HOST in host for host in seen),
        "requests for another host do not reach the application",
        f"the application gets requests for the host {SPOOFED_HOST}, and may put that name into links and mails",
    )


def _upgrade(chain: Chain) -> Finding:
    headers = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__"))
    echo = chain.ask_application(headers=headers).echo
    return chain.judge(
        "upgrade",
        not (echo and "h2c" in echo.header("Upgrade").lower()),
        "an upgrade to h2c does not reach the application",
        "an upgrade to h2c reaches the application: it opens a tunnel in which no further request is checked",
    )


def _two_lengths(chain: Chain) -> Iterator[Finding]:
    body = b"0\r\n\r\n"  # five bytes, and also the end of a chunked body: the body ends here by either header
    headers = (("Content-Length", str(len(body))), ("Transfer-Encoding", "chunked"))
    echo = chain.ask_application(headers=headers, method="POST", body=body).echo
    yield chain.judge(
        "smuggling",
        not (echo and echo.header("Content-Length") and echo.header("Transfer-Encoding")),
        "a body with two lengths does not arrive with both",
        "a body with two lengths reaches the application with both: a second request can hide in it",
    )
    echo = chain.ask_application(headers=(("Remote-User ", MARK), ("X-Doctor ", MARK))).echo
    yield chain.judge(
        "header_space",
        not (echo and echo.carriers(MARK)),
        "a header with a space before its colon does not arrive",
        "a header with a space before its colon reaches the application, past what the proxy removes by name",
    )
