"""A provider that will soon refuse people is named with the day, and no other provider is."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import event

from lab.cast import ALICE
from lab.clock import Clock
from lab.minting import mint
from sp.activity import margin_rows, retention
from sp.activity.margin_rows import ProviderHour
from sp.activity.margins import AGE, AHEAD, HOUR, LEFT, SIZE, Spread, Spreads
from sp.components import Components
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.stores import PostgreSQL

KEYS = {name: f"the key of {name}, long enough for SHA-256" for name in ("drifting", "steady", "ahead", "lazy", "odd")}
PROVIDERS: dict[str, dict[str, Any]] = {
    name: {"keys": [key], "login_url": "http://127.0.0.1:1/", "deliveries": ["header"]} for name, key in KEYS.items()
}
Offset = Callable[[int], float]
# How far each clock is ahead of ours, in seconds, by the hour. None of them will be refused.
STEADY: dict[str, Offset] = {
    "steady": lambda hour: 0,
    "ahead": lambda hour: 20,
    "lazy": lambda hour: -(hour * 37 % 50),
    "odd": lambda hour: -250 if hour == 9 else 0,
}


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway(PROVIDERS)


def sign_in(app: Flask, clock: Clock, provider: str, offset: float, **more: Any) -> None:
    """Sign Alice in with a token by a clock that is ahead by *offset* seconds."""
    iat = int(clock.time() + offset)
    claims = {"iat": iat, "exp": iat + 300, "jti": f"{provider}-{clock.time()}", "email": ALICE.email, **more}
    token = mint(claims, KEYS[provider])
    answer = app.test_client().get(f"/sso/login/jwt/{provider}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text


def run(app: Flask, *args: str) -> Result:
    core_of(app).margins.flush()
    return app.test_cli_runner().invoke(args=["providers", "health", *args])


def health(app: Flask, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(app, *args, "--json").stdout)
    return found


def to_noon_in(clock: Clock, hours: float) -> datetime:
    """Move the clock so that it is noon in so many hours; return that noon."""
    noon = (clock.now() + timedelta(hours=hours)).replace(hour=12, minute=0, second=0) + timedelta(days=1)
    clock.tick(seconds=(noon - timedelta(hours=hours) - clock.now()).total_seconds())
    return noon


@pytest.mark.parametrize(
    ("per_hour", "life", "refused_after", "code"),
    [(1, 300, 30, "token_not_yet_valid"), (-1, 60, 90, "token_expired"), (-10, 900, 33, "token_too_old")],
)
def test_a_drifting_clock_is_named_with_the_day_and_no_other_provider_is(
    app: Flask, clock: Clock, per_hour: int, life: int, refused_after: int, code: str
) -> None:
    noon = to_noon_in(clock, refused_after)
    for hour in range(20):
        for name, offset in {"drifting": lambda hour: per_hour * hour, **STEADY}.items():
            at = int(clock.time() + offset(hour))
            sign_in(app, clock, name, offset(hour), exp=at + (life if name == "drifting" else 300))
        clock.tick(hours=1)
    states = {item["name"]: (item["state"], item["refuses_on"], item["code"]) for item in health(app)}
    assert states.pop("drifting") == ("on its way out", noon.date().isoformat(), code)
    assert {state for state, _day, _code in states.values()} == {"ok"}
    printed = run(app)
    assert printed.exit_code == 1
    assert noon.date().isoformat() in printed.stdout
    assert run(app, "drifting").exit_code == 1
    assert run(app, "steady").exit_code == 0


def test_a_provider_that_was_disabled_refuses_nobody_in_the_future(app: Flask, clock: Clock) -> None:
    for hour in range(10):
        sign_in(app, clock, "drifting", hour)
        clock.tick(hours=1)
    assert run(app, "drifting").exit_code == 1
    core_of(app).provider_editor.switch("drifting", False, actor="test")
    assert run(app, "drifting").exit_code == 0
    assert health(app, "drifting")[0]["state"] == "disabled"


def test_a_wider_clock_skew_counts_at_once_for_what_was_measured_before(app: Flask, clock: Clock) -> None:
    for hour in range(10):
        sign_in(app, clock, "drifting", hour)
        clock.tick(hours=1)
    first = health(app, "drifting")[0]["refuses_on"]
    wider = {"drifting": {**PROVIDERS["drifting"], "clock_skew": 120}}
    core_of(app).provider_store.apply(wider, actor="test")
    later = health(app, "drifting")[0]["refuses_on"]
    assert first < later


def test_without_sign_ins_nothing_is_judged(app: Flask) -> None:
    assert {item["state"] for item in health(app)} == {"no sign-ins"}
    assert run(app).exit_code == 0
    assert run(app, "nobody").exit_code == 1


def test_the_values_of_a_sign_in_are_what_the_token_said(app: Flask, clock: Clock) -> None:
    sign_in(app, clock, "steady", 10, nbf=int(clock.time()) + 20)
    core_of(app).margins.flush()
    found = margin_rows.since(core_of(app).database, 0)["steady"]
    values = {quantity: hours[0].spread.total for quantity, hours in found.items()}
    assert values.keys() == {AHEAD, AGE, LEFT, SIZE}
    assert values[AHEAD] == pytest.approx(20, abs=5)
    assert values[AGE] == pytest.approx(-10, abs=5)
    assert values[LEFT] == pytest.approx(310, abs=5)
    assert 200 < values[SIZE] < 400


def test_a_sign_in_that_is_refused_is_not_measured(app: Flask, clock: Clock) -> None:
    token = mint({"iat": 1, "exp": 2, "jti": "a", "email": ALICE.email}, KEYS["steady"])
    app.test_client().get("/sso/login/jwt/steady", headers={"Authorization": f"Bearer {token}"})
    core_of(app).margins.flush()
    assert margin_rows.since(core_of(app).database, 0) == {}


def test_a_sign_in_costs_no_further_statement(app: Flask, clock: Clock) -> None:
    """A hundred sign-ins of one hour are four rows, written together."""
    written: list[str] = []

    @event.listens_for(core_of(app).database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "margin" in statement:
            written.append(statement)

    core = core_of(app)
    for _ in range(5):
        sign_in(app, clock, "steady", 0)
    assert len(written) <= 1  # on a slow machine, the second of waiting may be over
    core.margins.flush()
    assert 1 <= len(written) <= 2
    assert margin_rows.since(core.database, 0)["steady"][SIZE][0].spread.times == 5


@pytest.fixture(params=["sqlite", "postgresql"])
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Components]:
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        environ["SP_DATABASE_URL"] = migrated_postgresql(server)
    made = core_of(make_gateway(tmp_path / "health", None, **environ))
    yield made
    made.database.engine.dispose()


def test_workers_add_to_the_same_rows(core: Components) -> None:
    for least, most in ((1.0, 5.0), (-3.0, 4.0), (2.0, 9.0)):
        with core.database.writing() as connection:
            sums = {ProviderHour("steady", 7): Spreads({AHEAD: Spread(2, least, most, least + most)})}
            margin_rows.add(connection, sums)
    assert margin_rows.since(core.database, 0)["steady"][AHEAD][0].spread == Spread(6, -3.0, 9.0, 18.0)


def test_old_hours_are_deleted_in_small_steps(core: Components) -> None:
    now = 1000 * HOUR
    with core.database.writing() as connection:
        sums = {ProviderHour("steady", hour): Spreads.of({AHEAD: 1.0, SIZE: 2.0}) for hour in range(900, 1000)}
        margin_rows.add(connection, sums)
        before = now - 24 * HOUR
        deleted = [retention.forget_margins_before(before, connection, 100) for _ in range(3)]
    assert deleted == [100, 52, 0]
    assert margin_rows.since(core.database, 0)["steady"][AHEAD][0].at == 976 * HOUR + HOUR // 2


def test_the_day_is_that_of_utc(app: Flask, clock: Clock) -> None:
    for hour in range(10):
        sign_in(app, clock, "drifting", hour)
        clock.tick(hours=1)
    core_of(app).margins.flush()
    worst = next(item for item in core_of(app).health.now() if item.provider.name == "drifting").worst
    assert worst is not None
    assert worst.trend is not None
    assert worst.refuses_on == datetime.fromtimestamp(worst.trend.reaches_at, UTC).date()


def test_the_metrics_name_each_provider_with_its_margins(app: Flask, clock: Clock) -> None:
    for hour in range(10):
        sign_in(app, clock, "drifting", hour)
        sign_in(app, clock, "steady", 0)
        clock.tick(hours=1)
    core_of(app).margins.flush()
    text = app.test_client().get("/metrics", environ_overrides={"lychgate.peer": "127.0.0.1"}).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['lychgate_margin_seconds{margin="ahead",provider="drifting"}']) == pytest.approx(21, abs=2)
    assert float(values['lychgate_margin_seconds{margin="ahead",provider="steady"}']) == pytest.approx(30, abs=2)
    assert float(values['lychgate_margin_bytes{margin="size",provider="steady"}']) > 7000
    due = 'lychgate_provider_refuses_at_seconds{provider="%s"}'
    assert float(values[due % "drifting"]) > clock.time()
    assert float(values[due % "steady"]) == 0
    assert "lychgate_sessions" in values
