"""The list of the activity page: filters in the URL, bounded searches, the live view and the exports."""

import csv
import io
import json
import re
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from lab.cast import ALICE, MALLORY
from lab.clock import Clock
from sp.activity import browsing
from sp.activity import record as activity
from sp.activity.browsing import Filter
from sp.activity.record import Visitor as From
from sp.admin import activity_stream
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of

ACTIVITY = "/settings/activity"
NOON = 1_795_694_400  # 2026-11-26T12:00:00Z
HOUR = 3600


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE, "partner": {"keys": [KEY[::-1]], "login_url": "http://127.0.0.1:1/"}})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    found = administrator_of(app)
    with core_of(app).database.writing() as connection:
        connection.execute(text("DELETE FROM activity"))
    return found


def write(app: Flask, *lines: dict[str, Any]) -> None:
    """Put lines into the log, numbered from 0."""
    with core_of(app).database.writing() as connection:
        for number, line in enumerate(lines):
            values = {"reference": f"REF{number:07}", "event": "refused" if "code" in line else "sign_in", **line}
            values.setdefault("at", int(time.time()))
            activity.record(connection, activity.Entry(visitor=From("192.0.2.1", "Looking-Glass/1.0"), **values))


def references(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'href="/settings/activity/REF(\d+)"', page)]


LINES = (
    {"provider": "corporate", "email": "alice@example.com", "at": NOON - 3 * HOUR},
    {"provider": "partner", "email": "bob@example.com", "at": NOON - 2 * HOUR, "code": "token_expired"},
    {"provider": "corporate", "email": "al_x@example.com", "at": NOON - HOUR, "code": "token_expired"},
    {"provider": "partner", "email": "alice@example.org", "at": NOON, "event": "sign_out"},
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"provider": "partner"}, [3, 1]),
        ({"provider": "Partner", "code": "token_expired"}, [1]),
        ({"event": "sign_out"}, [3]),
        ({"email": "alice"}, [3, 0]),
        ({"email": "ALICE@EXAMPLE.COM"}, [0]),
        ({"email": "@example.org"}, [3]),
        ({"email": "l_x"}, [2]),
        ({"email": "%"}, []),
        ({"from": "2026-11-26T10:00", "until": "2026-11-26T12:00"}, [2, 1]),
        ({"from": "2026-11-26T11:00:00Z"}, [3, 2]),
        ({"until": "2026-11-26T10:00"}, [0]),
        ({"last": "1h"}, []),
        ({"from": "2099-01-01T00:00"}, []),
    ],
)
def test_the_list_is_filtered_by_what_the_url_says(
    app: Flask, carol: Visitor, query: dict[str, str], found: list[int]
) -> None:
    write(app, *LINES)
    assert references(carol.client.get(ACTIVITY, query_string=query).text) == found


def test_the_last_hour_is_that_before_now(app: Flask, carol: Visitor) -> None:
    now = int(time.time())
    write(app, {"at": now - 3 * HOUR}, {"at": now - 1800}, {"at": now})
    assert references(carol.open(f"{ACTIVITY}?last=1h").text) == [2, 1]
    assert references(carol.open(f"{ACTIVITY}?last=24h").text) == [2, 1, 0]


@pytest.mark.parametrize("query", ["code=nonsense", "event=nonsense", "from=yesterday", "last=forever"])
def test_a_filter_that_is_not_understood_is_said_and_not_used(app: Flask, carol: Visitor, query: str) -> None:
    write(app, *LINES)
    carol.open(f"{ACTIVITY}?{query}")
    assert references(carol.page.text) == [3, 2, 1, 0]
    assert query.split("=")[1] in carol.text


def test_the_detail_is_in_the_list_as_text(app: Flask, carol: Visitor) -> None:
    write(app, {"code": "claim_invalid", "detail": "<b>exp is before iat"})
    assert "&lt;b&gt;exp is before iat" in carol.open(ACTIVITY).text


def test_an_empty_result_says_how_to_clear_the_filter(app: Flask, carol: Visitor) -> None:
    write(app, *LINES)
    page = carol.open(f"{ACTIVITY}?provider=corporate&email=bob").text
    assert "No entry matches" in page
    assert 'href="/settings/activity">Clear all filters' in page
    assert 'href="/settings/activity?provider=corporate"' in page  # without the e-mail
    assert 'href="/settings/activity?email=bob"' in page
    missing = carol.open(f"{ACTIVITY}?reference=NOSUCH").text
    assert "Clear the reference" in missing


def test_a_search_looks_at_a_limited_number_of_lines_and_goes_on_where_it_stopped(
    app: Flask, carol: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "SCAN_ROWS", 10)
    write(app, *({"email": "rare@example.com" if n in (1, 14) else "usual@example.com"} for n in range(35)))
    seen, pages, address = [], 0, f"{ACTIVITY}?email=rar"
    while address:
        page = carol.open(address).text
        seen += references(page)
        pages += 1
        older = re.search(r'rel="next" href="([^"]+)"', page)
        assert ("There are older entries" in page) == (older is not None)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == [14, 1]
    assert pages == 4
    assert references(carol.open(f"{ACTIVITY}?email=rare@example.com").text) == [14, 1]  # by the index, at once


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(provider="partner"),
        Filter(email="alic"),
        Filter(event="sign_out", since=NOON - HOUR),
        Filter(code="token_expired", provider="partner"),
        Filter(since=NOON - HOUR, until=NOON),
        Filter(refused=True, since=NOON - HOUR),
        Filter(email="alice@example.com", provider="corporate"),
    ],
    ids=str,
)
def test_no_filter_sorts_what_it_finds(app: Flask, carol: Visitor, wanted: Filter) -> None:
    write(app, *LINES)
    plans: list[str] = []

    @event.listens_for(core_of(app).database.engine, "before_cursor_execute")
    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT activity"):
            plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.append("; ".join(row[3] for row in plan))

    assert browsing.page(core_of(app).database, wanted).next is None
    assert plans
    for plan in plans:
        assert "TEMP B-TREE" not in plan, plan


# the live view


def events_of(carol: Visitor, path: str, **headers: str) -> list[str]:
    answer = carol.client.get(path, headers=headers, buffered=True)
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/event-stream"
    return answer.text.split("\n\n")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live view end at once."""
    monkeypatch.setattr(activity_stream, "LIVE_SECONDS", 0.2)
    monkeypatch.setattr(activity_stream, "POLL_SECONDS", 0.05)


@pytest.mark.usefixtures("short")
def test_the_live_view_sends_what_is_newer_and_goes_on_after_a_break(app: Flask, carol: Visitor) -> None:
    write(app, *LINES)
    with core_of(app).database.reading() as connection:
        first = connection.execute(text("SELECT min(id) FROM activity")).scalar_one()
    sent = "\n\n".join(events_of(carol, f"{ACTIVITY}/live?after={first}&provider=partner"))
    assert references(sent) == [1, 3]
    last = re.findall(r"^id: (\d+)$", sent, re.MULTILINE)[-1]
    assert int(last) == first + 3
    again = events_of(carol, f"{ACTIVITY}/live?after={first}&provider=partner", **{"Last-Event-ID": last})
    assert references("".join(again)) == []


@pytest.mark.usefixtures("short")
def test_the_live_view_ends_with_the_session(app: Flask, carol: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_stream, "LIVE_SECONDS", 60)
    answer = carol.client.get(f"{ACTIVITY}/live?after=0", buffered=False)
    parts = iter(answer.response)
    next(parts)
    core_of(app).people.disable(core_of(app).people.list()[0].id)
    began = time.monotonic()
    assert len(list(parts)) <= 2
    assert time.monotonic() - began < 30
    answer.close()


@pytest.mark.usefixtures("short")
def test_attack_an_unattended_live_view_keeps_no_session_alive(app: Flask, carol: Visitor, clock: Clock) -> None:
    def last_use() -> int | None:
        with core_of(app).database.reading() as connection:
            found: int | None = connection.execute(text("SELECT last_seen_at FROM session")).scalar_one()
        return found

    carol.open(ACTIVITY)
    noted, idle = last_use(), core_of(app).sessions.idle
    clock.tick(seconds=idle - 10)
    events_of(carol, f"{ACTIVITY}/live?after=0")
    assert last_use() == noted
    clock.tick(seconds=20)
    assert carol.client.get(f"{ACTIVITY}/live?after=0").status_code == 303


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("cache", ["0", "5"])
def test_a_click_beside_a_live_view_counts_as_use(gateway: MakeGateway, clock: Clock, cache: str) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SESSION_CACHE=cache)
    carol = administrator_of(app)
    carol.open(ACTIVITY)
    clock.tick(seconds=core_of(app).sessions.idle - 10)
    core_of(app).sessions.forget()
    events_of(carol, f"{ACTIVITY}/live?after=0")
    assert carol.open(ACTIVITY).status_code == 200
    clock.tick(seconds=core_of(app).sessions.idle - 10)
    core_of(app).sessions.forget()
    assert carol.open(ACTIVITY).status_code == 200


def test_attack_open_live_views_do_not_take_all_threads(carol: Visitor) -> None:
    opened = [carol.client.get(f"{ACTIVITY}/live?after=0", buffered=False) for _ in range(activity_stream.SLOTS)]
    try:
        refused = carol.client.get(f"{ACTIVITY}/live?after=0", buffered=True)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "30"
        assert carol.client.get(f"{ACTIVITY}/export.csv", buffered=True).status_code == 503
    finally:
        for answer in opened:
            answer.close()
    assert carol.client.get(f"{ACTIVITY}/export.csv", buffered=True).status_code == 200


def test_the_live_page_works_without_its_script(app: Flask, carol: Visitor) -> None:
    write(app, *LINES)
    page = carol.open(f"{ACTIVITY}?live=1&provider=partner")
    assert "/sso/static/live.js" in page.text
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    assert 'href="/settings/activity?live=1&amp;provider=partner">Refresh</a>' in page.text
    assert references(page.text) == [3, 1]
    quiet = carol.open(ACTIVITY)
    assert "live.js" not in quiet.text
    assert "connect-src" not in quiet.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/live?after=0", "/export.csv", "/export.jsonl"])
def test_attack_a_person_who_is_no_administrator_reads_the_log(app: Flask, path: str) -> None:
    answer = app.test_client().get(ACTIVITY + path)
    assert (answer.status_code, "/login" in answer.location) == (303, True)


# the exports


def test_an_export_has_every_line_of_the_filter(app: Flask, carol: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_stream, "BATCH", 3)
    monkeypatch.setattr(browsing, "SCAN_ROWS", 5)
    write(app, *({"provider": "corporate" if n % 2 else "partner", "at": NOON + n} for n in range(25)))
    wanted = [f"REF{n:07}" for n in reversed(range(25)) if n % 2]
    table = carol.client.get(f"{ACTIVITY}/export.csv?provider=corporate", buffered=True)
    assert table.headers["Content-Disposition"] == 'attachment; filename="activity.csv"'
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["reference"] for row in rows] == wanted
    assert rows[0]["at"] == "2026-11-26T12:00:23Z"
    lines = carol.client.get(f"{ACTIVITY}/export.jsonl?provider=corporate", buffered=True).text.splitlines()
    assert [json.loads(line)["reference"] for line in lines] == wanted
    assert json.loads(lines[0])["code"] is None


def test_attack_a_text_in_the_log_is_a_formula_for_a_spreadsheet(app: Flask, carol: Visitor) -> None:
    write(app, {"email": f"=1+1{MALLORY.email}", "code": "claim_invalid", "detail": '@SUM(A1)\n"quoted"'})
    (row,) = csv.DictReader(io.StringIO(carol.client.get(f"{ACTIVITY}/export.csv", buffered=True).text))
    assert row["email"].startswith("'=")
    assert row["detail"].startswith("'@")
    assert ALICE.email not in row.values()


@pytest.mark.parametrize("separator", [";", "|", "\t", "\r", "\n", "\r\n", "; ", ';"'])
@pytest.mark.parametrize("sign", "=+-@")
def test_attack_a_spreadsheet_that_divides_elsewhere_finds_a_formula(separator: str, sign: str) -> None:
    """In German, French and Spanish, Excel divides at the semicolon."""
    (cell,) = next(
        csv.reader(io.StringIO(activity_stream._csv_row([activity_stream._harmless(f"a{separator}{sign}1")])))
    )
    assert not re.search(r"[;|\t\r\n][\s\"]*[=+@-]", cell)
    assert cell.replace("'", "") == f"a{separator}{sign}1"
    assert str(activity_stream._harmless(f"{separator}{sign}1")).lstrip(';| "').startswith("'")


def test_an_unknown_kind_of_export_is_refused(carol: Visitor) -> None:
    assert carol.client.get(f"{ACTIVITY}/export.xlsx").status_code == 400
