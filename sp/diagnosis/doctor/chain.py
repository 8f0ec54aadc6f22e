"""Send probes through a chain of proxies, gateway and application, and read the echo."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult

from sp.diagnosis.doctor.echo import APPLICATION, GATEWAY, MARK
from sp.diagnosis.doctor.remedies import remedy_for
from sp.diagnosis.doctor.tickets import HEADER, OWN_PATH, PATH, Ticket, Tickets
from sp.diagnosis.doctor.wire import NoAnswer, Reply, exchange
from sp.diagnosis.inspector import Finding, Outcome
from sp.sessions.cookie_names import NAME

Headers = Sequence[tuple[str, str]]
PAGE = (("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
SCRIPT = (("Accept", "application/json"),)


@dataclass(frozen=True)
class Echoed:
    """The request as an echo received it."""

    who: str
    content: dict[str, Any]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Each header that arrived."""
        return [(str(name), str(value)) for name, value in self.content.get("headers", [])]

    @property
    def target(self) -> str:
        """The request target, as it arrived."""
        return str(self.content.get("target", ""))

    def header(self, name: str) -> str:
        """Return the values of a header, joined by commas; empty if it did not arrive."""
        return ", ".join(value for given, value in self.headers if given.lower() == name.lower())

    def carriers(self, mark: str) -> list[str]:
        """Return the names of the headers whose value contains *mark*."""
        return [name for name, value in self.headers if mark in value]


@dataclass(frozen=True)
class Answered:
    """An answer of the chain. `echo` is its content if an echo answered. `problem` says why there was no answer."""

    reply: Reply | None
    echo: Echoed | None = None
    problem: str = ""

    @property
    def status(self) -> int:
        """The status; 0 if there was no answer."""
        return self.reply.status if self.reply else 0

    def header(self, name: str) -> str:
        """Return a header of the answer."""
        return str(self.reply.headers.get(name, "")) if self.reply else ""

    @property
    def text(self) -> str:
        """The body."""
        return self.reply.body.decode("utf-8", "replace") if self.reply else ""

    @property
    def said(self) -> str:
        """The status or the problem, as text for a finding."""
        return f"status {self.status}" if self.reply else self.problem


@dataclass
class Chain:
    """The chain at *url*. `needs_sign_in` tells whether the rules let only signed-in people open a path.

    `site_url` is the URL of the site, as the settings have it.

    `echo_by` names the program that echoes in place of the application: the gateway, or the separate echo program. It
    is "" if no program echoes. `proxy` is the Server header of the first answer to `ask_gateway`, which names the
    nearest proxy.
    """

    url: SplitResult
    tickets: Tickets
    site_url: str
    prefix: str
    needs_sign_in: Callable[[str, str], bool]
    echo_by: str = ""
    proxy: str = ""
    session_cookie: str = NAME
    asked: int = field(default=0)

    def ask(
        self,
        target: str,
        headers: Headers = (),
        *,
        method: str = "GET",
        host: str = "",
        body: bytes = b"",
        ticket: bool = True,
        padding: int = 0,
    ) -> Answered:
        """Send one request, with a ticket unless *ticket* is False."""
        signed, text = self.tickets.sign(padding)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.url.netloc}", "Connection: close"]
        if not any(name.lower() == "user-agent" for name, _ in headers):
            lines.append("User-Agent: Lychgate-Doctor")
        if ticket:
            lines.append(f"{HEADER}: {text}")
        lines += [f"{name}: {value}" for name, value in headers if name != "Connection"]
        connection = [value for name, value in headers if name == "Connection"]
        if connection:
            lines[2] = f"Connection: {connection[0]}"
        self.asked += 1
        request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        try:
            reply = exchange(self.url, request, method)
        except NoAnswer as problem:
            return Answered(None, problem=str(problem))
        return Answered(reply, _echo(reply, signed) if ticket else None)

    def ask_application(self, rest: str = "x", headers: Headers = (), **more: Any) -> Answered:
        """Send a request for a path at which the echo answers in place of the application."""
        return self.ask(f"{PATH}{rest}", headers, **more)

    def ask_gateway(self, headers: Headers = (), **more: Any) -> Answered:
        """Ask the gateway how it understands a request."""
        return self.ask(f"{self.prefix}{OWN_PATH}", headers, **more)

    @property
    def is_forward_auth(self) -> bool:
        """Whether the application is behind the proxy, which only asks the gateway."""
        return self.echo_by == APPLICATION

    @property
    def is_in_process(self) -> bool:
        """Whether the application is inside the gateway's process."""
        return self.echo_by == GATEWAY

    def found(self, check: str, explanation: str, outcome: Outcome = "failed") -> Finding:
        """Return a finding, with the remedy for this proxy."""
        return Finding(check, outcome, explanation, remedy_for(check, self.proxy))

    def judge(self, check: str, holds: bool, good: str, bad: str) -> Finding:
        """Return a finding that passed if *holds* is true. If not, it failed, and has the remedy."""
        return Finding(check, "passed", good) if holds else self.found(check, bad)


def is_marked(answer: Answered) -> bool:
    """Tell whether an echo answered, even with a refusal."""
    return f'"{MARK}"' in answer.text


def _echo(reply: Reply, ticket: Ticket) -> Echoed | None:
    try:
        content = json.loads(reply.body)
    except ValueError:
        return None
    if not isinstance(content, dict) or MARK not in content or content.get("nonce") != ticket.nonce:
        return None
    return Echoed(str(content[MARK]), content)
