"""Measure forward-auth without a proxy: ask one process directly about the requests of a signed-in person.

It compares run_sp.py with the same WSGI application on gunicorn's gthread worker, which version 0.1.0 used at first.
wrk sends requests over eight connections. The processor time is that of all processes of the server. It does not
include wrk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.gateways import GTHREAD, RunningGateway, is_allowed, start_gateway
from bench.load import load
from bench.programs import processor_seconds
from bench.timing import PAIRS, Rounds, Row
from bench.wire import Connection, get


def rows() -> Iterator[Row]:
    """Measure both servers, in turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        servers = {
            "as shipped": start_gateway(stack, here / "shipped"),
            "gthread": start_gateway(stack, here / "gthread", GTHREAD),
        }
        rates: dict[str, list[float]] = {name: [] for name in servers}
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for server in servers.values():
            rejects_strangers(server)
        for _round in range(PAIRS):
            for name, server in servers.items():
                rate, cost = _ask(server)
                rates[name].append(rate)
                costs[name].append(cost)
    yield from _rows({n: Rounds(found) for n, found in rates.items()}, {n: Rounds(found) for n, found in costs.items()})


def _rows(rates: dict[str, Rounds], costs: dict[str, Rounds]) -> Iterator[Row]:
    note = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    yield Row("forward-auth, times gunicorn gthread", rates["as shipped"] / rates["gthread"], "x", 4.0, note=note)
    note = f"gthread {costs['gthread']:.0f} us"
    yield Row("forward-auth: processor time a decision", costs["as shipped"], "us", 60.0, at_most=True, note=note)


def _ask(server: RunningGateway) -> tuple[float, float]:
    """Return the decisions per second, and the microseconds of processor time per decision."""
    before = processor_seconds(server.pid)
    done = load(f"http://127.0.0.1:{server.port}/sso/auth/nginx", headers=server.question_headers())
    return done.rate, (processor_seconds(server.pid) - before) / done.requests * 1e6


def rejects_strangers(server: RunningGateway) -> None:
    """Check that the person is allowed, and that a missing or forged cookie gets 401 (the negative control)."""
    with Connection(server.port) as connection:
        answer = connection.ask(server.question())
        if not is_allowed(answer) or answer.header("Remote-Email") != "alice@example.com":
            raise AssertionError(f"the person was not recognised: {answer}")
        for cookie in ("", f"sp_session={'x' * 43}"):
            headers = {**server.question_headers(), "Cookie": cookie}
            status = connection.ask(get("/sso/auth/nginx", server.port, headers)).status
            if status != 401:
                raise AssertionError(f"a stranger got {status}")
