"""A sign-in over HTTP: ours against the same written with Flask's ORM, Flask-Login and two commits.

SQLite with synchronous=FULL, one process of the same server, one client on one connection, a person who is known.
"""

from __future__ import annotations

import http.client
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

from bench.programs import free_port, python, running
from bench.timing import PAIRS, Row
from shared.keys import load_key_set
from shared.tokens import sign

SIGN_INS = 150  # in a round


def rows() -> list[Row]:
    """Measure both, in turns."""
    secret = secrets.token_urlsafe(48)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        ours = _start_gateway(stack, here, secret)
        peer = _start_peer(stack, here, secret)
        for send in (ours, peer):
            _refuses_a_second_use(send, secret)
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for _round in range(PAIRS):
            times["ours"].append(_round_of(ours, secret))
            times["peer"].append(_round_of(peer, secret))
    medians = {name: statistics.median(found) for name, found in times.items()}
    note = ", ".join(f"{name} {1e6 / value:.0f}/s" for name, value in medians.items())
    return [
        Row(
            "a sign-in over HTTP, times Flask ORM + Flask-Login", medians["peer"] / medians["ours"], "x", 3.5, note=note
        )
    ]


Send = Callable[[str], tuple[int, str]]


def _start_gateway(stack: ExitStack, here: Path, secret: str) -> Send:
    port = free_port()
    settings = here / "sp.toml"
    settings.write_text(
        f'[providers.bench]\nkeys = ["{secret}"]\nunsolicited = "accept"\nlogin_url = "http://127.0.0.1:9/"\n'
    )
    environ = {"SP_INSTANCE": str(here / "sp"), "SP_SECRET_KEY": "k" * 48, "SP_CONFIG": str(settings)}
    stack.enter_context(running(python("run_sp.py", "--port", str(port)), port, environ, here / "sp.log"))
    return _sender(port)


def _start_peer(stack: ExitStack, here: Path, secret: str) -> Send:
    port = free_port()
    database = f"sqlite:///{here / 'peer.sqlite3'}"
    environ = {"PEER_DATABASE_URL": database, "PEER_TOKEN_KEY": secret, "PEER_PORT": str(port)}
    stack.enter_context(running(python("-m", "bench.peers.orm_signin"), port, environ, here / "peer.log"))
    return _sender(port)


def _sender(port: int) -> Send:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}

    def send(token: str) -> tuple[int, str]:
        connection.request("POST", "/sso/login/jwt", urlencode({"jwt": token}), headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("Location", "")

    return send


def _token(secret: str) -> str:
    now = int(time.time())
    claims = {
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
        "email": "alice@example.com",
        "given_name": "Alice",
        "family_name": "Liddell",
    }
    return sign(claims, load_key_set([secret], "HS256").keys[0])


def _refuses_a_second_use(send: Send, secret: str) -> None:
    """The negative control: the second use of a token must be refused, or the row is void."""
    token = _token(secret)
    first, second = send(token), send(token)
    if first != (303, "/") or second == first:
        raise AssertionError(f"a token was not spent: {first}, {second}")


def _round_of(send: Send, secret: str) -> float:
    """Return the microseconds of a sign-in, over SIGN_INS of them."""
    tokens = [_token(secret) for _ in range(SIGN_INS)]
    started = time.perf_counter()
    for token in tokens:
        if send(token) != (303, "/"):
            raise AssertionError("a sign-in was refused")
    return (time.perf_counter() - started) / SIGN_INS * 1e6
