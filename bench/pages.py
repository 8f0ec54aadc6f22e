"""The administrators' pages with 100,000 accounts and 1,000,000 lines of activity: milliseconds a page, over Flask.

Every account has an identity, and one in four a live session. BENCH_DATABASE_URL=postgresql+psycopg://… measures the
same on a PostgreSQL database, which must be empty.
"""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert

from bench.timing import Row
from shared.errors import REJECTIONS
from sp import config as settings
from sp import create_app
from sp.database.models import Account, Activity, Identity, SessionRecord

ACCOUNTS = 100_000
LINES = 1_000_000
BATCH = 20_000
ROUNDS = 15
WANTED = 100.0  # milliseconds: what people feel as "at once"
ADMINISTRATOR, PASSWORD = "zz-carol@example.com", "keeper-of-keys-7741"
GIVEN = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy")
FAMILY = ("Liddell", "Sparrow", "Warden", "Miller", "Ngo", "Okafor", "Petrov", "Quinn", "Rossi", "Schmidt")


def rows() -> Iterator[Row]:
    """Measure each page, from its middle and with each filter."""
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
            "accounts: a word that nobody has": "/settings/users?q=Zebedee",
            "accounts: the disabled ones": "/settings/users?state=disabled",
            "accounts: the administrators": "/settings/users?state=administrators",
            "accounts: one person": "/settings/users/4243",
            "activity: the first page": "/settings/activity",
            "activity: from the middle": f"/settings/activity?before={LINES // 2}",
            "activity: by reference": f"/settings/activity/{line}",
            "activity: one e-mail": f"/settings/activity?email={middle}",
            "activity: one code": "/settings/activity?code=token_expired",
            "activity: one code, from the middle": f"/settings/activity?code=token_expired&before={LINES // 2}",
            "activity: a code that is rare": "/settings/activity?code=audience_mismatch",
            "activity: part of an e-mail that nobody has": "/settings/activity?email=zebedee",
            "activity: one provider": "/settings/activity?provider=corporate",
            "activity: a day of long ago": "/settings/activity?from=2020-01-01T00:00&until=2020-01-02T00:00",
            "activity: every refusal": f"/settings/activity?code=refused&before={LINES // 2}",
            "activity: one e-mail and one code": f"/settings/activity?email={middle}&code=token_expired",
            "overview": "/settings",
            "providers": "/settings/sso/jwt",
        }.items():
            yield Row(name, _milliseconds(client, url), "ms", WANTED, at_most=True)
        app.extensions["lychgate"].engine.dispose()


def _fill(app: Flask) -> None:
    now = int(time.time())
    created = datetime.fromtimestamp(now, UTC)
    codes = [code for code in REJECTIONS if code != "audience_mismatch"]
    with app.extensions["lychgate"].engine.begin() as connection:
        for start in range(0, ACCOUNTS, BATCH):
            numbers = range(start, start + BATCH)
            connection.execute(insert(Account), [_account(number, created) for number in numbers])
            connection.execute(insert(Identity), [_identity(number, created) for number in numbers])
            connection.execute(insert(SessionRecord), [_session(number, now) for number in numbers if number % 4 == 2])
        for start in range(0, LINES, BATCH):
            lines = [_line(number, now - LINES + number, codes) for number in range(start, start + BATCH)]
            connection.execute(insert(Activity), lines)
    with app.extensions["lychgate"].engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()


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


def _milliseconds(client: FlaskClient, url: str) -> float:
    assert client.get(url).status_code == 200, url
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        client.get(url)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
