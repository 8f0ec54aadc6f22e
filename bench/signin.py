"""Compare a sign-in over HTTP on SQLite: ours against Flask's ORM with Flask-Login, and against Express on Node.js.

Each program runs in one process with synchronous=FULL, and the person of each sign-in already has an account. First,
eight clients sign in at the same time, each client one sign-in after the other, to measure the sign-ins per second and
the longest wait. Then one client signs in alone, to measure the time of one sign-in. The peer with the ORM runs on
gunicorn.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.arrivals import at_once, waits
from bench.gateways import is_signed_in, sign_in, sign_in_request, start_gateway
from bench.peers.orm_signin import create_tables
from bench.programs import ROOT, free_port, python, running
from bench.timing import Row, in_turns

SIGN_INS = 400  # in a round of eight at once
ALONE = 100
AT_ONCE = 8
NODE_MODULES = ROOT / ".venv" / "node-bench"
NODE_TIMES = "sign-ins of eight at once, times Node"

OURS, ORM, NODE = "ours", "ORM", "Node"


def rows() -> Iterator[Row]:
    """Measure all programs, in turns."""
    secret = secrets.token_urlsafe(48)
    missing = _what_node_lacks()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        gateway = start_gateway(stack, here / "sp")
        targets = {OURS: (gateway.port, gateway.secret), ORM: (start_orm(stack, here, secret), secret)}
        if not missing:
            targets[NODE] = (_start_node(stack, here, secret), secret)
        rates = in_turns({name: partial(_rate, *target) for name, target in targets.items()})
        longest = in_turns({name: partial(_longest, *target) for name, target in targets.items()})
        alone = in_turns({name: partial(_alone, *target) for name, target in targets.items()})
    note = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    yield Row("sign-ins of eight at once, times Flask ORM + Flask-Login", rates[OURS] / rates[ORM], "x", 3.5, note=note)
    if missing:
        yield Row(NODE_TIMES, 0.0, "x", 1.3, reason=missing)
    else:
        yield Row(NODE_TIMES, rates[OURS] / rates[NODE], "x", 1.3, note=note)
    note = ", ".join(f"{name} {wait:.1f} ms" for name, wait in alone.items())
    yield Row("one sign-in alone, times shorter than the ORM's", alone[ORM] / alone[OURS], "x", 2.5, note=note)
    note = ", ".join(f"{name} {wait:.0f} ms" for name, wait in longest.items())
    shorter = longest[ORM] / longest[OURS]
    yield Row("the longest wait of eight at once, times shorter", shorter, "x", 3.0, note=note, most_spread=2.0)


def start_orm(stack: ExitStack, here: Path, secret: str, database: str = "", workers: int = 1) -> int:
    """Start the peer with the ORM on an empty database, by default on SQLite. Return its port."""
    port = free_port()
    database = database or f"sqlite:///{here / 'orm.sqlite3'}"
    create_tables(database)
    command = python("-m", "bench.serve", "gunicorn", "bench.peers.orm_signin:create_wsgi", str(port), str(workers))
    environ = {"PEER_DATABASE_URL": database, "PEER_TOKEN_KEY": secret}
    stack.enter_context(running(command, port, environ, here / f"orm-{port}.log"))
    sign_in(port, secret)
    return port


def _start_node(stack: ExitStack, here: Path, secret: str) -> int:
    port, database = free_port(), here / "node.sqlite3"
    create_tables(f"sqlite:///{database}")
    environ = {
        "PEER_DATABASE": str(database),
        "PEER_TOKEN_KEY": secret,
        "PEER_PORT": str(port),
        "PEER_MODULES": str(NODE_MODULES / "package.json"),
        "NODE_ENV": "production",
    }
    command = ["node", str(ROOT / "bench" / "peers" / "node" / "signin.mjs")]
    stack.enter_context(running(command, port, environ, here / "node.log"))
    sign_in(port, secret)
    return port


def _what_node_lacks() -> str:
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if (NODE_MODULES / "installed").exists() else "tools/bench-packages has not installed the peer"


def _requests(port: int, secret: str, count: int) -> list[bytes]:
    return [sign_in_request(port, secret) for _ in range(count)]


def _rate(port: int, secret: str) -> float:
    return at_once(port, _requests(port, secret, SIGN_INS), is_signed_in, AT_ONCE)


def _alone(port: int, secret: str) -> float:
    """Return the median time, in milliseconds, of sign-ins one after the other."""
    return statistics.median(waits(port, _requests(port, secret, ALONE), is_signed_in, 1)) * 1e3


def _longest(port: int, secret: str) -> float:
    """Return the time, in milliseconds, of the slowest sign-in of a round."""
    return max(waits(port, _requests(port, secret, SIGN_INS), is_signed_in, AT_ONCE)) * 1e3
