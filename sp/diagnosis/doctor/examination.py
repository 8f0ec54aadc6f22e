"""Run every probe through a chain, and return the findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.settings import is_loopback
from sp.diagnosis.doctor import access, arriving, carrying, paths
from sp.diagnosis.doctor.chain import Chain
from sp.diagnosis.doctor.echo import APPLICATION, GATEWAY
from sp.diagnosis.doctor.wire import NoAnswer, exchange
from sp.diagnosis.inspector import Finding


def examine(chain: Chain) -> list[Finding]:
    """Return the findings about *chain*, in the order of the probes."""
    return list(_examine(chain))


def _examine(chain: Chain) -> Iterator[Finding]:
    yield from _transport(chain)
    first = chain.ask_gateway()
    chain.proxy = first.header("Server")
    if first.echo is None:
        reason = "it answered for another host name" if "host_foreign" in first.text else first.said
        explanation = (
            f"{chain.prefix}/sso/doctor does not reach the gateway of these settings ({reason}), so people cannot sign "
            "in. If it is another gateway, run this command with its settings"
        )
        yield chain.found("own_paths", explanation)
        return
    yield Finding("own_paths", "passed", "the gateway's own paths reach the gateway")
    yield from arriving.at_the_gateway(chain, first.echo)
    yield from carrying.both_ways(chain)

    chain.echo_by = _who_echoes(chain)
    yield _about_the_echo(chain)
    yield arriving.request_id(chain)
    yield from access.signed_out(chain)
    yield from access.questions(chain)
    if chain.echo_by:
        yield from arriving.at_the_application(chain)
        yield from paths.as_they_arrive(chain)
        yield from carrying.to_the_application(chain)


def _who_echoes(chain: Chain) -> str:
    echo = chain.ask_application().echo
    return echo.who if echo and echo.who in (GATEWAY, APPLICATION) else ""


def _about_the_echo(chain: Chain) -> Finding:
    if chain.is_in_process:
        return Finding(
            "echo", "passed", "the application is inside the gateway's process, and the gateway echoes for it"
        )
    if chain.is_forward_auth:
        return Finding("echo", "passed", "the proxy asks the gateway, and doctor-echo runs in place of the application")
    explanation = (
        "the application itself answered, so what reaches it could not be seen: headers, paths and cookies were not "
        "tested"
    )
    remedy = "Run `flask --app sp doctor-echo` in place of the application, and this command again."
    return Finding("echo", "skipped", explanation, remedy)


def _transport(chain: Chain) -> Iterator[Finding]:
    if is_loopback(chain.url.hostname or ""):
        yield Finding("https", "skipped", "it is on this machine, where plain http is safe")
        return
    if chain.url.scheme != "https":
        yield chain.found("https", "people reach this site over plain http, so cookies can be read on the way")
        return
    yield Finding("https", "passed", "people reach this site over https")
    answer = chain.ask("/", ticket=False)
    if "max-age" not in answer.header("Strict-Transport-Security").lower():
        yield chain.found("hsts", "browsers are not told to use https only", "advice")
    yield _plain_http(chain)


def _plain_http(chain: Chain) -> Finding:
    plain = replace(chain, url=chain.url._replace(scheme="http", netloc=chain.url.hostname or ""))
    request = f"GET / HTTP/1.1\r\nHost: {plain.url.netloc}\r\nConnection: close\r\n\r\n".encode("latin-1")
    try:
        reply = exchange(plain.url, request)
    except NoAnswer:
        return Finding("https_redirect", "passed", "nothing answers on plain http")
    leads_to_https = reply.status in (301, 302, 307, 308) and reply.headers.get("Location", "").startswith("https://")
    return chain.judge(
        "https_redirect",
        leads_to_https,
        "plain http leads to https",
        f"plain http answers with status {reply.status} and does not lead to https",
    )
