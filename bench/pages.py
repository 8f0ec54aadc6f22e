"""Measure the administrators' pages with 100,000 accounts and 1,000,000 traces, in milliseconds per page.

Flask's test client requests the pages, without a server. Every account has an identity, and one account in four has a
live session. After the pages, this part measures the size of the activity log on the disk, and the clean-up. As in
`bench.retention`, the time of a clean-up step is the time of its write transaction. With
BENCH_DATABASE_URL=postgresql+psycopg://… everything is measured on that PostgreSQL database, which must be empty.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, create_engine, func, insert, select, text

from bench.retention import timed
from bench.timing import Rounds, Row
from shared.errors import REJECTIONS
from shared.tidying import tidy
from sp import config as settings
from sp import create_app
from sp.activity import retention
from sp.activity.packing import pack
from sp.activity.trace import PASSED, AccountDecision, CheckResult, Facts
from sp.database.models import Account, Activity, Identity, SessionRecord

ACCOUNTS = 100_000
LINES = 1_000_000
BATCH = 2_000
ROUNDS = 5
A_ROUND = 3  # requests, of which the median counts
MOST_SPREAD = 2.0  # of the median: rounds are short, and results are far below the 100 ms
TRACES = 5_000  # different traces
ON_THE_DISK = (  # of SQLite: the table and its indexes
    "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = 'activity')"
)
OLD = 50_000  # expired lines
DAY = 86_400  # seconds
WANTED = 100.0  # milliseconds: people feel that such an answer comes at once
ADMINISTRATOR, PASSWORD = "zz-carol@example.com", "keeper-of-keys-7741"
GIVEN = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy")
FAMILY = ("Liddell", "Sparrow", "Warden", "Miller", "Ngo", "Okafor", "Petrov", "Quinn", "Rossi", "Schmidt")


def rows() -> Iterator[Row]:
    """Measure the administrators' pages, the disk space of a line of activity, and the clean-up."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"SP_INSTANCE": folder, "SP_SECRET_KEY": "no secret, for nothing here is one: a benchmark"}
        if url := os.environ.get("BENCH_DATABASE_URL"):
            environ["SP_DATABASE_URL"] = url
        app = create_app(settings.load(environ))
        _fill(app)
        client = _administrator(app)
        line = f"R{LINES // 2:09}"
        middle = f"person-{ACCOUNTS // 2:06}@example.com"
        for name, url in {
            "accounts: the first page": "/settings/users",
            "accounts: from the middle": f"/settings/users?after={middle}",
            "accounts: one e-mail": f"/settings/users?q={middle}",
            "accounts: part of an e-mail": "/settings/users?q=n-04242",
            "accounts: a name": "/settings/users?q=Liddell",
            "accounts: two words that few have": "/settings/users?q=Erin+Liddell+n-0994",
            "accounts: a word that no account has": "/settings/users?q=Zebedee",
            "accounts: the disabled ones": "/settings/users?state=disabled",
            "accounts: the administrators": "/settings/users?state=administrators",
            "accounts: one person": "/settings/users/4243",
            "activity: the first page": "/settings/activity",
            "activity: from the middle": f"/settings/activity?before={LINES // 2}",
            "activity: by reference": f"/settings/activity/{line}",
            "activity: the trace as JSON": f"/settings/activity/{line}?format=json",
            "activity: one e-mail": f"/settings/activity?email={middle}",
            "activity: one code": "/settings/activity?code=token_expired",
            "activity: one code, from the middle": f"/settings/activity?code=token_expired&before={LINES // 2}",
            "activity: a code that is rare": "/settings/activity?code=audience_mismatch",
            "activity: part of an e-mail that no line has": "/settings/activity?email=zebedee",
            "activity: one provider": "/settings/activity?provider=corporate",
            "activity: a day of long ago": "/settings/activity?from=2020-01-01T00:00&until=2020-01-02T00:00",
            "activity: every refusal": f"/settings/activity?code=refused&before={LINES // 2}",
            "activity: one e-mail and one code": f"/settings/activity?email={middle}&code=token_expired",
            "overview": "/settings",
            "providers": "/settings/sso/jwt",
        }.items():
            yield Row(name, _milliseconds(client, url), "ms", WANTED, at_most=True, most_spread=MOST_SPREAD)
        yield from _disk(app)
        yield from _clean_up(app)
        app.extensions["lychgate"].database.engine.dispose()


def _fill(app: Flask) -> None:
    now = int(time.time())
    created = datetime.fromtimestamp(now, UTC)
    traces = _traces()
    codes = [code for code in REJECTIONS if code != "audience_mismatch"]
    with app.extensions["lychgate"].database.engine.begin() as connection:
        for start in range(0, ACCOUNTS, BATCH):
            numbers = range(start, start + BATCH)
            connection.execute(insert(Account), [_account(number, created) for number in numbers])
            connection.execute(insert(Identity), [_identity(number, created) for number in numbers])
            connection.execute(insert(SessionRecord), [_session(number, now) for number in numbers if number % 4 == 2])
        for start in range(0, LINES, BATCH):
            lines = [
                {**_line(number, now - LINES + number, codes), "trace": traces[number * 7919 % TRACES]}
                for number in range(start, start + BATCH)
            ]
            connection.execute(insert(Activity), lines)
    with _patient(app) as connection:
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def _patient(app: Flask) -> Iterator[Connection]:
    """Connect without the gateway's time limits, because reading the whole database takes longer."""
    engine = create_engine(app.extensions["lychgate"].database.engine.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _disk(app: Flask) -> Iterator[Row]:
    """Measure the bytes of a line with its trace and its index entries, and of the trace alone."""
    table: Any = Activity.__table__
    with _patient(app) as connection:
        alone = connection.execute(select(func.avg(func.length(table.c.trace)))).scalar_one()
        if connection.dialect.name == "postgresql":
            size = connection.execute(text("SELECT pg_total_relation_size('activity')")).scalar_one()
        else:
            size = connection.execute(text(ON_THE_DISK)).scalar_one()
    note = f"of which the trace {float(alone):.0f}; {int(size) / 2**20:.0f} MiB in all"
    yield Row("a line of activity with its trace, on the disk", int(size) / LINES, "B", 1024, at_most=True, note=note)


def _clean_up(app: Flask) -> Iterator[Row]:
    """Measure how the oldest lines are deleted, in the steps of the gateway's clean-up."""
    core = app.extensions["lychgate"]
    now = int(time.time())
    steps = [*retention.steps(core.database, now - LINES + OLD + 90 * DAY, 90)]
    times: list[float] = []
    busy: list[float] = []
    tidy(lambda: timed(core, times, busy), steps, seconds=600)
    times.sort()
    middle, last = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
    note = f"median {middle:.1f} ms, longest {times[-1] * 1e3:.1f} ms, "
    note += f"processor time at most {max(busy) * 1e3:.1f} ms, {len(times)} steps"
    yield Row("clean-up: 99 of 100 write transactions end within", last, "ms", 20.0, at_most=True, note=note)


def _traces() -> list[bytes | None]:
    """Return TRACES traces of different tokens. Every line of the activity log gets one of them."""
    return [_trace_of(number) for number in range(TRACES)]


def _trace_of(number: int) -> bytes | None:
    claims = {
        "iss": "https://idp.example.com",
        "aud": "https://learn.example.com",
        "sub": f"id-{number}",
        "iat": 1_795_000_000 + number * 7919,
        "exp": 1_795_000_060 + number * 7919,
        "jti": secrets.token_urlsafe(24),
        "email": f"person-{number:06}@example.com",
        "given_name": GIVEN[number % 10],
        "family_name": FAMILY[number // 10 % 10],
        "groups": ["staff", "choir"],
    }
    checks = (
        CheckResult("signature", PASSED, f"HS256, with the key {hashlib.sha256(b'key').hexdigest()[:16]}"),
        CheckResult("type", PASSED, "JWT"),
        CheckResult("required", PASSED, "iat, jti, exp"),
        CheckResult("token_id", PASSED, "32 characters"),
        CheckResult("issuer", PASSED, "https://idp.example.com, as expected"),
        CheckResult("audience", PASSED, "https://learn.example.com, as expected"),
        CheckResult("not_before", PASSED, f"iat {number % 5} s ago; clock_skew 30 s"),
        CheckResult("expiry", PASSED, f"{60 - number % 5} s left; clock_skew 30 s"),
        CheckResult("age", PASSED, f"{number % 5} s; at most 300 s"),
        CheckResult("asked_for", PASSED, "this browser had started a sign-in"),
        CheckResult("nonce", PASSED, "the one that this browser received"),
    )
    account = AccountDecision("found", "by the ID at the provider", number)
    cookies = (f"__Host-sp_pending_{number:08x}", "__Host-sp_session")
    header, request_id = {"typ": "JWT", "alg": "HS256"}, secrets.token_hex(8)
    facts = Facts("query", header, claims, "0f" * 8, cookies, checks, account, "/courses", request_id=request_id)
    return pack(facts, 4096)


def _account(number: int, created: datetime) -> dict[str, object]:
    email = f"person-{number:06}@example.com"
    return {
        "email": email,
        "email_key": email,
        "given_name": GIVEN[number % 10],
        "family_name": FAMILY[number // 10 % 10],
        "login": f"p{number}",
        "groups": ["staff", "choir"],
        "attributes": {"department": "Lending", "floor": number % 7},
        "is_active": number % 50 != 0,
        "is_admin": False,
        "created_at": created,
    }


def _identity(number: int, created: datetime) -> dict[str, object]:
    subject = f"id-{number}"
    return {
        "provider": "corporate", "subject": subject, "account_id": number + 1, "issued_at": 1.0, "created_at": created,
    }  # fmt: skip


def _session(number: int, now: int) -> dict[str, object]:
    return {
        "id_hash": hashlib.sha256(str(number).encode()).digest(),
        "public_id": f"{number:016}",
        "kind": "browser",
        "account_id": number + 1,
        "provider": "corporate",
        "subject": f"id-{number}",
        "claims": {"email": f"person-{number:06}@example.com"},
        "created_at": now,
        "expires_at": now + 43_200,
        "address": "192.0.2.17",
        "user_agent": "Mozilla/5.0",
        "return_path": "/",
    }


def _line(number: int, at: int, codes: list[str]) -> dict[str, object]:
    refused = number % 20 == 0
    rare = number in (LINES // 5, LINES // 3)
    return {
        "reference": f"R{number:09}",
        "at": at,
        "event": "refused" if refused or rare else "sign_in",
        "code": "audience_mismatch" if rare else codes[number // 20 % len(codes)] if refused else None,
        "provider": "corporate",
        "subject": f"id-{number % ACCOUNTS}",
        "email": f"person-{number % ACCOUNTS:06}@example.com",
        "account_id": None if refused or rare else number % ACCOUNTS + 1,
        "address": "192.0.2.17",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    }


def _administrator(app: Flask) -> FlaskClient:
    app.extensions["lychgate"].people.create_administrator(ADMINISTRATOR, PASSWORD)
    client = app.test_client()
    form = client.get("/login?no_sso").text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    assert token
    answer = client.post("/login", data={"csrf_token": token[1], "email": ADMINISTRATOR, "password": PASSWORD})
    assert answer.status_code == 303
    return client


def _milliseconds(client: FlaskClient, url: str) -> Rounds:
    assert client.get(url).status_code == 200, url

    def once() -> float:
        started = time.perf_counter()
        client.get(url)
        return (time.perf_counter() - started) * 1000

    return Rounds(statistics.median(once() for _ in range(A_ROUND)) for _ in range(ROUNDS))
