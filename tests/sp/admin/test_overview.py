"""The overview: what needs attention comes first, and each number is one that was counted."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from shared.clock import time_now
from shared.web import new_reference
from sp.activity import counts, margin_rows
from sp.activity import record as activity
from sp.activity.margin_rows import ProviderHour
from sp.activity.margins import AGE, AHEAD, HOUR, LEFT, SIZE, Spreads
from sp.activity.record import Visitor as From
from sp.database.models import ProviderKey
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of

OVERVIEW = "/settings"
DAY = 86_400


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


def reject(app: Flask, code: str, times: int, ago: int = 60) -> None:
    with core_of(app).database.writing() as connection:
        for _ in range(times):
            at, who = int(time_now()) - ago, From("192.0.2.1")
            activity.record(connection, activity.Entry(new_reference(), at, "refused", who, code))


def measure(app: Flask, *, per_hour: float, times: int = 1) -> None:
    now = int(time_now()) // HOUR
    with core_of(app).database.writing() as connection:
        for n in range(20):
            values = {AHEAD: n * per_hour, AGE: 1.0, LEFT: 60.0, SIZE: 400.0}
            for _ in range(times):
                margin_rows.add(connection, {ProviderHour("corporate", now - 19 + n): Spreads.of(values)})


def attention(carol: Visitor) -> list[str]:
    page = carol.open(OVERVIEW).text
    part = re.search(r'id="attention">(.*?)</section>', page, re.DOTALL)
    assert part
    items = re.findall(r"<li>(.*?)</li>", part[1], re.DOTALL)
    return [re.sub(r"\s+", " ", re.sub("<[^>]+>", "", item)).strip() for item in items]


def test_without_a_problem_nothing_needs_attention(app: Flask) -> None:
    carol = administrator_of(app)
    measure(app, per_hour=0)
    assert attention(carol) == []
    assert "Nothing. No provider is near a limit" in carol.text


def test_a_provider_on_its_way_out_comes_first_with_the_day(app: Flask) -> None:
    carol = administrator_of(app)
    measure(app, per_hour=1)
    reject(app, "token_expired", 20)
    first, second = attention(carol)
    worst = core_of(app).health.now()[0].worst
    assert worst is not None
    assert first.startswith(f"urgent Corporate will refuse people from {worst.refuses_on} on")
    assert second.startswith("soon 20 rejections with token_expired in the last 24 hours, 0 in the 24 hours before")


def test_a_key_that_was_never_used_is_named_after_a_week(app: Flask) -> None:
    carol = administrator_of(app)
    assert attention(carol) == []
    with core_of(app).database.writing() as connection:
        long_ago = core_of(app).provider_editor.find("corporate").keys[0].created_at - timedelta(days=8)
        connection.execute(ProviderKey.__table__.update().values(created_at=long_ago))  # type: ignore[attr-defined]
    core_of(app).health._read_at = float("-inf")
    (item,) = attention(carol)
    assert "was made 8 days ago and was never used" in item


@pytest.mark.parametrize(
    ("today", "yesterday", "is_named"), [(9, 0, False), (10, 0, True), (30, 20, False), (40, 20, True), (20, 40, False)]
)
def test_a_code_is_named_if_it_became_frequent(app: Flask, today: int, yesterday: int, is_named: bool) -> None:
    carol = administrator_of(app)
    reject(app, "signature_invalid", today)
    reject(app, "signature_invalid", yesterday, ago=DAY + 2 * HOUR)
    assert bool(attention(carol)) == is_named


def test_a_rule_that_decides_nothing_is_named_after_a_week(gateway: MakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    used = '[[rules]]\npath = "/used/"\nallow = "signed-in"\n'
    file.write_text(used + '[[rules]]\npath = "/idle"\nallow = "anyone"\n')
    app = gateway({"corporate": CORPORATE}, SP_CONFIG=str(file))
    carol, counts = administrator_of(app), core_of(app).rule_counts
    counts.adopt({"home": core_of(app).config.rules})
    counts.of_site("home")(1)
    assert attention(carol) == []
    counts.began_at -= 7 * 86_400
    (item,) = attention(carol)
    assert "Rule 2 of home (exactly /idle, every method: anyone) has decided about no request in 7 days." in item


def test_few_seats_are_named(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SEAT_LIMIT="1")
    (item,) = attention(administrator_of(app))
    assert item.startswith("soon Seats left: 0 of 1.")


def test_a_file_that_was_changed_and_would_be_rejected_is_named(
    gateway: MakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gateway.toml"
    good = f'[providers.corporate]\ndefault = true\nkeys = ["{KEY}"]\nlogin_url = "http://127.0.0.1:1/"\n'
    file.write_text(good)
    app = gateway(SP_CONFIG=str(file))
    carol, reloader = administrator_of(app), core_of(app).reloader
    assert attention(carol) == []
    for mistake, named in {
        '[[rules]]\npath = "reports"\n': "path",
        "clock_skw = 5\n": "clock_skw",
        "clock_skew = \n": "gateway.toml",
    }.items():
        file.write_text(good + mistake)
        reloader.look()
        first = attention(carol)[0]
        assert first.startswith("urgent The file of SP_CONFIG has changed")
        assert named in first
        assert KEY not in first
    file.unlink()
    reloader.look()
    assert "gateway.toml" in attention(carol)[0]


def test_the_numbers_are_those_that_were_counted(app: Flask) -> None:
    carol = administrator_of(app)
    measure(app, per_hour=0, times=3)
    for code, times in {"token_expired": 3, "token_replayed": 2, "nonce_mismatch": 1}.items():
        reject(app, code, times, ago=1)
    for code in ("claim_missing", "issuer_mismatch", "audience_mismatch"):
        reject(app, code, 1, ago=1)
    carol.open(OVERVIEW)
    assert "60 tokens accepted, 9 rejections" in carol.text
    for words in ("signed in: 60", "token_expired: 3", "token_replayed: 2", "others: 2"):
        assert words in carol.text
    assert "1 taken, no limit" in carol.text
    page = carol.page.text
    assert len(re.findall(r'<tr><th scope="row">', page)) == 24
    assert "style=" not in page
    assert "<script" not in page


def test_counted_refusals_count_as_many(app: Flask) -> None:
    carol = administrator_of(app)
    reject(app, "token_expired", 1)
    with core_of(app).database.writing() as connection:
        connection.execute(text("UPDATE activity SET times = 500, last_at = at WHERE code IS NOT NULL"))
    carol.open(OVERVIEW)
    assert "500 rejections" in carol.text


def test_attack_a_flood_of_refusals_makes_the_overview_no_slower(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest are counted, and the page says since when. Nothing is compared with yesterday."""
    carol = administrator_of(app)
    monkeypatch.setattr(counts, "MOST_REJECTIONS", 20)
    reject(app, "token_expired", 30, ago=3 * HOUR)
    reject(app, "token_expired", 15, ago=1)
    assert attention(carol) == []
    assert "There were so many rejections that only those since" in carol.text


def test_no_provider_is_said_with_the_way_to_create_one(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway())
    carol.open(OVERVIEW)
    assert "No provider yet. Create one" in carol.text


def test_old_links_to_the_providers_still_work(app: Flask) -> None:
    carol = administrator_of(app)
    assert carol.open("/settings/sso/jwt").status_code == 200
    assert 'href="/settings/sso/jwt"' in carol.open(OVERVIEW).text


def test_attack_a_stranger_reads_the_overview(app: Flask) -> None:
    answer = app.test_client().get(OVERVIEW)
    assert (answer.status_code, "/login" in answer.location) == (303, True)
