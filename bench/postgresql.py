"""Measure sign-ins on PostgreSQL with fsync: with four and with one of our workers, and with four of the ORM peer.

This module starts a PostgreSQL server of the distribution for the run. Sixteen clients sign in at once. Each client
signs in different people, because two sign-ins of one person at the same time would wait for each other, and two first
sign-ins of one person would collide. After such a collision, our gateway finds the account that the other sign-in has
created. The peer, which is written as in a tutorial, answers 500.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg

from bench.arrivals import at_once
from bench.gateways import SHIPPED, is_signed_in, sign_in_request, start_gateway
from bench.signin import start_orm
from bench.timing import Row, in_turns
from tests.support.stores import PostgreSQL, find_postgresql, running_postgresql

SIGN_INS = 600  # in a round
AT_ONCE = 16
PEOPLE = 6 * AT_ONCE  # a multiple of AT_ONCE, so that `at_once` gives each person to one client
OURS, ONE, ORM = "ours", "one worker", "ORM"
COSTLIEST = """
SELECT calls, mean_exec_time * 1000, query FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
WHERE datname = %s ORDER BY total_exec_time DESC LIMIT 6
"""
costliest: list[str] = []  # the statements of the last run that took most time in the server


def rows() -> Iterator[Row]:
    """Measure the three servers, in turns."""
    binaries = find_postgresql()
    if binaries is None:
        raise SystemExit("This part needs PostgreSQL: apt-get install postgresql")
    secret = secrets.token_urlsafe(48)
    settings = {"fsync": "on", "max_connections": "300", "shared_preload_libraries": "pg_stat_statements"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgresql(binaries, **settings) as server,
        ExitStack() as stack,
    ):
        here = Path(folder)
        database = server.create_database()
        four = start_gateway(stack, here / OURS, SHIPPED, "--workers", "4", SP_DATABASE_URL=database)
        one = start_gateway(stack, here / "one", SHIPPED, SP_DATABASE_URL=server.create_database())
        orm = start_orm(stack, here, secret, server.create_database(), workers=4)
        targets = {OURS: (four.port, four.secret), ONE: (one.port, one.secret), ORM: (orm, secret)}
        for target in targets.values():
            _rate(*target)  # so that the people are known, and every worker has its connections
        with psycopg.connect(_plain(database), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("SELECT pg_stat_statements_reset()")
        rates = in_turns({name: partial(_rate, *target) for name, target in targets.items()})
        costliest[:] = _costliest(server, database)
    note = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    yield Row("PostgreSQL, four workers: sign-ins, times the ORM's", rates[OURS] / rates[ORM], "x", 5.0, note=note)
    yield Row("PostgreSQL: four workers, times one", rates[OURS] / rates[ONE], "x", 1.8, note=note)


def _rate(port: int, secret: str) -> float:
    requests = [sign_in_request(port, secret, email=f"p{n % PEOPLE}@example.com") for n in range(SIGN_INS)]
    return at_once(port, requests, is_signed_in, AT_ONCE)


def _costliest(server: PostgreSQL, database: str) -> list[str]:
    with psycopg.connect(_plain(database)) as connection:
        found = connection.execute(COSTLIEST, (database.rpartition("/")[2],)).fetchall()
    return [f"{mean:8.0f} us, {calls} times: {' '.join(query.split())[:150]}" for calls, mean, query in found]


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
