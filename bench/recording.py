"""Measure what recording a trace costs: compare a sign-in that records a trace with one that does not.

It uses Flask's test client on SQLite with synchronous=FULL. There is no server and no socket, because these would hide
a part of the cost. The two kinds of sign-in alternate, in one process and on one database.
"""

from __future__ import annotations

import logging
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from bench.gateways import new_token
from bench.timing import PAIRS, Rounds, Row
from shared.keys import load_key_set
from shared.tokens import sign
from sp.activity import reading
from sp.activity import record as activity
from sp.activity.trace import Facts
from sp.signin import preparation
from tests.support.gateway import core_of, make_gateway

SIGN_INS = 150  # of each kind in a round
MOST = 1.05
KEY = secrets.token_urlsafe(48)


def rows() -> Iterator[Row]:
    """Measure both kinds of sign-in in turns, and then a rejection whose cause the gateway looks for."""
    logging.getLogger("lychgate").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        app = make_gateway(Path(folder), {"bench": {"keys": [KEY], "unsolicited": "accept"}}, SP_SESSION_CACHE="5")
        yield _sign_ins(app.test_client(use_cookies=False))
        _was_recorded(app)
        yield _refusals(app)
        core_of(app).database.engine.dispose()


def _sign_ins(client: FlaskClient) -> Row:
    times: dict[bool, list[float]] = {True: [], False: []}
    for _round in range(PAIRS):
        spent: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(SIGN_INS):
            for records in (True, False):
                spent[records].append(_recording(records, lambda: _sign_in(client)))
        for records in times:
            times[records].append(statistics.median(spent[records]))
    with_it, without = (Rounds(times[records]) * 1e6 for records in (True, False))
    note = f"{with_it:.0f} µs, {without:.0f} µs"
    return Row("a sign-in that is recorded, of one that is not", with_it / without, "x", MOST, at_most=True, note=note)


def _recording(records: bool, action: Callable[[], float]) -> float:
    """Return the result of *action*, with the recording of traces on or off."""
    if records:
        return action()
    entry: Any = preparation.TokenSignIn
    pack, facts = activity.trace_of, entry.facts
    activity.trace_of = lambda *_: None
    entry.facts = lambda *_: Facts()
    try:
        return action()
    finally:
        activity.trace_of, entry.facts = pack, facts


def _sign_in(client: FlaskClient) -> float:
    token = _token()
    started = time.perf_counter()
    answer = client.get("/sso/login/jwt", query_string={"jwt": token})
    took = time.perf_counter() - started
    if answer.status_code != 303 or answer.location != "/":
        raise AssertionError("a sign-in was refused")
    return took


def _token(**more: object) -> str:
    return new_token(KEY, groups=["staff", "choir"], **more)


def _was_recorded(app: Any) -> None:
    """Check that every second sign-in has a trace with its checks, and the others have none (the negative control)."""
    kept = reading.latest(core_of(app).database, reading.Wanted(), 100)
    if [bool(trace.facts.checks) for trace in kept] != [False, True] * 50:
        raise AssertionError("the wrong sign-ins were recorded")


def _refusals(app: Any) -> Row:
    """Measure a rejection because of a wrong secret. To find the cause, the gateway tries all common errors in secrets.

    The row is the time of the whole request.
    """
    client, wrong = app.test_client(use_cookies=False), load_key_set([KEY[::-1]], "HS256").keys[0]
    now = int(time.time())
    times = []
    for _ in range(100):
        token = sign({"iat": now, "exp": now + 60, "jti": secrets.token_hex(8), "email": "a@example.com"}, wrong)
        started = time.perf_counter()
        client.get("/sso/login/jwt", query_string={"jwt": token})
        times.append(time.perf_counter() - started)
    last = reading.latest(core_of(app).database, reading.Wanted(), 1)[0]
    if "another key" not in last.cause:
        raise AssertionError(f"the cause was not found: {last.cause}")
    took = Rounds(statistics.median(times[n::PAIRS]) * 1e3 for n in range(PAIRS))
    return Row("a refusal whose cause is looked for", took, "ms", 20.0, at_most=True)
