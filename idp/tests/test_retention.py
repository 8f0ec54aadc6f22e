"""The audit: bounded under any attack, kept as long as the operator says, and cleaned up completely."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from shared import folding
from shared.folding import KIND_BURST
from shared.tidying import MOST_ROWS
from sqlalchemy import event, insert, select, text

from idp import housekeeping
from idp.context import context
from idp.models import AuditRow, CounterRow, SessionRow, db
from idp.stores import audit, retention
from idp.stores.refusals import SERVICE_DENIED, SIGN_IN_REFUSED
from idp.tests.conftest import MakeApp
from idp.tests.support import ALICE, GATE, MALLORY, Browser, Clock, register

DAY = 86_400


def refuse(app: Flask, times: int) -> None:
    with app.app_context():
        for number in range(times):
            audit.refused(SIGN_IN_REFUSED, email=f"{'x' * 200}{number}@example.com")
        context().refusals.flush()


def rows(app: Flask, query: str) -> list[tuple[Any, ...]]:
    with app.app_context():
        return [tuple(row) for row in db.session.execute(text(query))]


def put(app: Flask, model: Any, values: Sequence[dict[str, Any]]) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(insert(model.__table__), list(values))


def entry(number: int, at: datetime, kind: str = "token_issued") -> dict[str, Any]:
    empty = dict.fromkeys(("email", "service", "address", "detail"), "")
    return {**empty, "at": at, "event": kind, "token_id": str(number)}


def test_attack_wrong_passwords_from_everywhere_do_not_fill_the_audit(app: Flask) -> None:
    refuse(app, 20_000)
    assert rows(app, "SELECT sum(times) FROM audit") == [(20_000,)]
    assert len(rows(app, "SELECT id FROM audit")) <= KIND_BURST // 450 + 3


def test_attack_a_person_who_asks_for_a_forbidden_service_does_not_fill_it_either(
    make_app: MakeApp, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BURST", 2_000)
    app = make_app()
    register(app, **{f"closed-{n}": {**GATE, "groups": ["staff"], "keys": []} for n in range(3)})
    mallory = Browser(app)
    mallory.sign_in(MALLORY)
    for number in range(15):
        assert mallory.get(f"/login-token/?service=closed-{number % 3}").status_code == 403
    with app.app_context():
        context().refusals.flush()
    denied = rows(app, f"SELECT service, times, last_at FROM audit WHERE event = '{SERVICE_DENIED}'")  # noqa: S608
    assert sum(times for _service, times, _last_at in denied) == 15
    assert len(denied) <= 6 + 3 * 2


def test_all_workers_count_in_one_row_and_the_command_shows_it(
    make_app: MakeApp, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BURST", 1_000)
    for worker in (make_app(), make_app()):
        refuse(worker, 22)
    ((times, first, last),) = rows(app, "SELECT times, at, last_at FROM audit WHERE fold IS NOT NULL")
    assert times == 40
    assert first == last
    shown = json.loads(app.test_cli_runner().invoke(args=["audit", "--json", "--count", "500"]).stdout)
    assert [line["times"] for line in shown if line["last_at"]] == [40]
    assert "counted together" in app.test_cli_runner().invoke(args=["audit", "--count", "500"]).stdout


def test_the_audit_is_kept_for_so_many_days(make_app: MakeApp, app: Flask, clock: Clock) -> None:
    app = make_app(activity_days=30)
    now = datetime.fromtimestamp(clock(), UTC)
    put(app, AuditRow, [entry(1, now - timedelta(days=31)), entry(2, now - timedelta(days=29))])
    with app.app_context():
        assert housekeeping.tidy(60)
    assert rows(app, "SELECT token_id FROM audit") == [("2",)]


def test_nought_days_keep_it_for_ever(make_app: MakeApp, app: Flask, clock: Clock) -> None:
    app = make_app(activity_days=0)
    put(app, AuditRow, [entry(1, datetime.fromtimestamp(clock(), UTC) - timedelta(days=5000))])
    with app.app_context():
        assert housekeeping.tidy(60)
    assert len(rows(app, "SELECT id FROM audit")) == 1


def test_attack_refusals_beyond_a_number_go_the_oldest_first_and_nothing_else(app: Flask, clock: Clock) -> None:
    now = datetime.fromtimestamp(clock(), UTC)
    put(app, AuditRow, [entry(n, now, SIGN_IN_REFUSED if n % 2 else "token_issued") for n in range(60)])
    with app.app_context():
        (last, *_) = reversed(retention.steps(most=10))
        with db.engine.connect().execution_options(write=True) as connection, connection.begin():
            assert [last(connection, 15) for _ in range(3)] == [15, 5, 0]
    left = [token_id for (token_id,) in rows(app, "SELECT token_id FROM audit ORDER BY id")]
    assert left == [str(n) for n in range(60) if n % 2 == 0 or n >= 40]


def test_clean_up_keeps_up_with_whatever_is_over(app: Flask, clock: Clock) -> None:
    """Thousands of rows are all deleted, in steps of at most a hundred."""
    long_ago, many, deleted = datetime.fromtimestamp(clock() - 91 * DAY, UTC), 2_500, list[int]()
    put(app, AuditRow, [entry(n, long_ago) for n in range(many)])
    put(app, CounterRow, [{"key": str(n), "count": 1, "ends_at": long_ago} for n in range(many)])
    moments = {"signed_in_at": long_ago, "seen_at": long_ago, "ends_at": long_ago}
    put(
        app,
        SessionRow,
        [
            {"id_hash": str(n), "person_id": "a", "email": ALICE.email, "remembered": False, **moments}
            for n in range(many)
        ],
    )
    with app.app_context():

        @event.listens_for(db.engine, "after_cursor_execute")
        def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("DELETE"):
                deleted.append(cursor.rowcount)

        assert housekeeping.tidy(120)
        for model in (AuditRow, CounterRow, SessionRow):
            assert db.session.scalars(select(model)).first() is None
    assert sum(deleted) == 3 * many
    assert max(deleted) <= MOST_ROWS


def test_each_step_finds_its_rows_by_an_index(app: Flask, clock: Clock) -> None:
    put(app, AuditRow, [entry(n, datetime.fromtimestamp(clock(), UTC), SIGN_IN_REFUSED) for n in range(3)])
    plans = []
    with app.app_context():

        @event.listens_for(db.engine, "before_cursor_execute")
        def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith(("DELETE", "SELECT audit.id")):
                plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                plans.append("; ".join(row[3] for row in plan))

        steps = retention.steps(most=1)
        with db.engine.connect().execution_options(write=True) as connection, connection.begin():
            for step in steps:
                step(connection, MOST_ROWS)
    assert len(plans) == len(steps) + 1
    for plan in plans:
        assert "SCAN" not in plan.replace("SCAN audit USING INDEX audit_refused", ""), plan
        assert "TEMP B-TREE" not in plan, plan
