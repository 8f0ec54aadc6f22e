"""Send forged identities directly to the application, without the gateway, and see whether it believes them.

An application behind a forward-auth proxy must be reachable only through the proxy, or must verify
X-Lychgate-Assertion. Each probe sends one forged identity. It compares the answer with the answer to a stranger, who
sends no identity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

from shared.keys import generate_key, load_key
from shared.tokens import ASSERTION_TYPE, sign
from sp.diagnosis.doctor.forging import unsigned
from sp.diagnosis.doctor.wire import NoAnswer, Reply, exchange
from sp.diagnosis.inspector import Finding
from sp.outgoing_assertion.claims import ALGORITHM, LIFETIME
from sp.request.identity_headers import ASSERTION, HEADER_SETS

PERSON = "doctor@lychgate.invalid"  # a reserved name: RFC 6761
AN_HOUR = 3600  # seconds
_CHANGING = re.compile(r"[0-9A-Za-z_-]{16,}|\d+")  # tokens, times and numbers differ in every answer

WHY = "the application believes it. Let nothing but the proxy reach the application, "
VERIFY = "and verify the assertion as docs/guides/proxies.md shows."


@dataclass(frozen=True)
class Application:
    """The application at *url*. *signed* signs claims as the gateway does.

    *issuer* and *audience* are the values that the application should require in an assertion.
    """

    url: SplitResult
    issuer: str
    audience: str
    signed: Callable[[dict[str, Any]], str]

    def ask(self, *headers: tuple[str, str]) -> Reply:
        """Ask for the page at the URL. Raises NoAnswer."""
        target = (self.url.path or "/") + (f"?{self.url.query}" if self.url.query else "")
        lines = [f"GET {target} HTTP/1.1", f"Host: {self.audience}", "Connection: close", "Accept: text/html"]
        lines += [f"{name}: {value}" for name, value in headers]
        return exchange(self.url, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def claims(self, token_id: str, now: int, **changes: Any) -> dict[str, Any]:
        """Return the claims of an assertion about a person who does not exist."""
        usual = {"iss": self.issuer, "aud": self.audience, "sub": "0", "email": PERSON, "groups": [], "jti": token_id}
        return {**usual, "iat": now, "exp": now + LIFETIME, **changes}


def ask_application(application: Application, now: int) -> Iterator[Finding]:
    """Return the findings about *application*. *now* is in seconds since 1970."""
    try:
        yield from _ask(application, now)
    except NoAnswer as problem:
        yield Finding("app_reachable", "skipped", f"the application cannot be reached past the gateway: {problem}")


def _ask(application: Application, now: int) -> Iterator[Finding]:
    stranger = application.ask()
    yield Finding(
        "app_reachable",
        "advice",
        "the application answers past the gateway, from this machine",
        "Make sure that no client can reach this URL. Only the proxy needs it.",
    )
    plain = [name for name in HEADER_SETS if _believes(application, stranger, *_plain_headers(name))]
    yield _judge(
        "app_plain_headers",
        bool(plain),
        "plain identity headers change nothing",
        f"plain identity headers ({', '.join(plain)}) name a person, and {WHY}{VERIFY}",
    )
    good = application.signed(application.claims("doctor-good", now))
    if not _believes(application, stranger, (ASSERTION, good)):
        explanation = "a valid assertion changes nothing on this page, so it is unknown what the application verifies"
        remedy = "If it reads assertions, give --app a page that shows who is signed in."
        yield Finding("app_assertion", "skipped", explanation, remedy)
        return
    yield Finding("app_assertion", "passed", "the application reads X-Lychgate-Assertion")
    for check, what, assertion in _forged(application, now):
        believed = _believes(application, stranger, (ASSERTION, assertion))
        yield _judge(check, believed, f"an assertion {what} is rejected", f"an assertion {what}: {WHY}{VERIFY}")
    if _believes(application, stranger, (ASSERTION, good)):
        remedy = "Remember each jti until its exp if a stolen assertion would be worse for you than one more query."
        yield Finding("app_used_twice", "advice", "an assertion is believed a second time, within two minutes", remedy)
    else:
        yield Finding("app_used_twice", "passed", "an assertion is believed once")


def _forged(application: Application, now: int) -> Iterator[tuple[str, str, str]]:
    signed, claims = application.signed, application.claims
    foreign = load_key(generate_key(ALGORITHM), ALGORITHM)
    past, future = now - AN_HOUR, now + AN_HOUR
    yield "app_expired", "that has expired", signed(claims("doctor-1", past))
    yield "app_not_yet_valid", "that is not yet valid", signed(claims("doctor-2", future, nbf=future))
    yield "app_audience", "for another host", signed(claims("doctor-3", now, aud="other.lychgate.invalid"))
    yield "app_issuer", "of another issuer", signed(claims("doctor-4", now, iss="https://other.lychgate.invalid"))
    yield "app_key", "signed with another key", sign(claims("doctor-5", now), foreign, typ=ASSERTION_TYPE, kid=True)
    yield "app_alg_none", "with alg none and no signature", unsigned(claims("doctor-6", now))


def _plain_headers(header_set: str) -> list[tuple[str, str]]:
    return [(name, PERSON) for name in HEADER_SETS[header_set]]


def _believes(application: Application, stranger: Reply, *headers: tuple[str, str]) -> bool:
    """Tell whether the answer names the person, or is a page that differs from the answer to a stranger."""
    reply = application.ask(*headers)
    if PERSON.encode() in reply.body:
        return True
    welcome = reply.status < 400 and reply.status not in (301, 302, 303, 307)
    return welcome and (reply.status != stranger.status or _gist(reply) != _gist(stranger))


def _gist(reply: Reply) -> str:
    return _CHANGING.sub("", reply.body.decode("utf-8", "replace"))


def _judge(check: str, believed: bool, good: str, bad: str) -> Finding:
    if not believed:
        return Finding(check, "passed", good)
    return Finding(check, "failed", bad.partition(" Let ")[0], "Let" + bad.partition(" Let")[2])
