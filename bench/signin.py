"""A sign-in over HTTP: ours against the same written with Flask's ORM, Flask-Login and two commits.

SQLite with synchronous=FULL, one process of the same server, a person who is known. The first row is one client on one
connection, one sign-in after another; the second is the longest that anybody waits where eight sign in at once.
"""

from __future__ import annotations

import http.client
import secrets
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from bench.programs import free_port, python, running
from bench.timing import PAIRS, Rounds, Row
from shared.keys import load_key_set
from shared.tokens import sign

SIGN_INS = 150  # in a round
AT_ONCE = 8


def rows() -> list[Row]:
    """Measure both, in turns."""
    secret = secrets.token_urlsafe(48)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        ports = {"ours": _start_gateway(stack, here, secret), "peer": _start_peer(stack, here, secret)}
        senders = {name: _sender(port) for name, port in ports.items()}
        for send in senders.values():
            _refuses_a_second_use(send, secret)
        times: dict[str, list[float]] = {name: [] for name in ports}
        waits: dict[str, list[float]] = {name: [] for name in ports}
        for _round in range(PAIRS):
            for name, port in ports.items():
                times[name].append(_round_of(senders[name], secret))
                waits[name].append(_longest_wait(port, secret))
    apiece = {name: Rounds(found) for name, found in times.items()}
    longest = {name: Rounds(found) for name, found in waits.items()}
    rates = ", ".join(f"{name} {1e6 / value:.0f}/s" for name, value in apiece.items())
    milliseconds = ", ".join(f"{name} {value:.0f} ms" for name, value in longest.items())
    return [
        Row(
            "a sign-in over HTTP, times Flask ORM + Flask-Login", apiece["peer"] / apiece["ours"], "x", 3.5, note=rates
        ),
        Row(
            "the longest wait of eight at once, times shorter",
            longest["peer"] / longest["ours"],
            "x",
            3.0,
            note=milliseconds,
        ),
    ]


Send = Callable[[str], tuple[int, str]]


def _start_gateway(stack: ExitStack, here: Path, secret: str) -> int:
    port = free_port()
    settings = here / "sp.toml"
    settings.write_text(
        f'[providers.bench]\nkeys = ["{secret}"]\nunsolicited = "accept"\nlogin_url = "http://127.0.0.1:9/"\n'
    )
    environ = {"SP_INSTANCE": str(here / "sp"), "SP_SECRET_KEY": "k" * 48, "SP_CONFIG": str(settings)}
    stack.enter_context(running(python("run_sp.py", "--port", str(port)), port, environ, here / "sp.log"))
    return port


def _start_peer(stack: ExitStack, here: Path, secret: str) -> int:
    port = free_port()
    database = f"sqlite:///{here / 'peer.sqlite3'}"
    environ = {"PEER_DATABASE_URL": database, "PEER_TOKEN_KEY": secret, "PEER_PORT": str(port)}
    stack.enter_context(running(python("-m", "bench.peers.orm_signin"), port, environ, here / "peer.log"))
    return port


def _sender(port: int) -> Send:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}

    def send(token: str) -> tuple[int, str]:
        connection.request("POST", "/sso/login/jwt", urlencode({"jwt": token}), headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("Location", "")

    return send


def new_token(secret: str, **more: object) -> str:
    """Return a token for Alice that is good for a minute, with *more* claims."""
    now = int(time.time())
    claims = {
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
        "email": "alice@example.com",
        "given_name": "Alice",
        "family_name": "Liddell",
        **more,
    }
    return sign(claims, load_key_set([secret], "HS256").keys[0])


def _refuses_a_second_use(send: Send, secret: str) -> None:
    """The negative control: the second use of a token must be refused, or the row is void."""
    token = new_token(secret)
    first, second = send(token), send(token)
    if first != (303, "/") or second == first:
        raise AssertionError(f"a token was not spent: {first}, {second}")


def _round_of(send: Send, secret: str) -> float:
    """Return the microseconds of a sign-in, over SIGN_INS of them."""
    tokens = [new_token(secret) for _ in range(SIGN_INS)]
    started = time.perf_counter()
    for token in tokens:
        if send(token) != (303, "/"):
            raise AssertionError("a sign-in was refused")
    return (time.perf_counter() - started) / SIGN_INS * 1e6


def _longest_wait(port: int, secret: str) -> float:
    """Return the milliseconds of the slowest sign-in, where AT_ONCE clients sign in one after another each."""
    tokens = [[new_token(secret) for _ in range(SIGN_INS // AT_ONCE)] for _ in range(AT_ONCE)]

    def sign_in(mine: list[str]) -> float:
        send, slowest = _sender(port), 0.0
        for token in mine:
            started = time.perf_counter()
            if send(token) != (303, "/"):
                raise AssertionError("a sign-in was refused")
            slowest = max(slowest, time.perf_counter() - started)
        return slowest

    with ThreadPoolExecutor(AT_ONCE) as clients:
        return max(clients.map(sign_in, tokens)) * 1e3
