"""The activity page: every sign-in, accepted or rejected, found by reference, e-mail or code."""

import re
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from lab.cast import ALICE, CAROL
from lab.minting import ispring_token
from shared.errors import REJECTIONS, SignatureInvalid
from shared.web import new_reference
from sp.activity import record as activity
from sp.activity.browsing import PAGE_ROWS
from sp.activity.folds import Fold
from sp.activity.record import Visitor as From
from sp.signin.attempt import Attempt
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, SECOND_KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of

ACTIVITY = "/settings/activity"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def write(app: Flask, *lines: dict[str, Any]) -> None:
    """Put lines into the log."""
    with core_of(app).database.engine.begin() as connection:
        for number, line in enumerate(lines):
            values = {"reference": f"REF{number:07}", "event": "refused" if "code" in line else "sign_in", **line}
            who = From("192.0.2.1", "Looking-Glass/1.0")
            activity.record(connection, activity.Entry(at=int(time.time()), visitor=who, **values))


def references(carol: Visitor, **query: str) -> list[str]:
    page = carol.client.get(ACTIVITY, query_string=query)
    assert page.status_code == 200, page.text
    return re.findall(r'href="/settings/activity/(REF\d+)"', page.text)


def test_a_good_and_a_refused_sign_in_are_there_without_their_tokens(app: Flask, carol: Visitor) -> None:
    good, bad = ispring_token(KEY, ALICE.email), ispring_token(SECOND_KEY, ALICE.email)
    for token in (good, bad):
        app.test_client().get("/sso/login/jwt", query_string={"jwt": token})
    page = carol.open(ACTIVITY).text
    assert "signature_invalid" in page
    assert ALICE.email in page
    assert not any(part in page for token in (good, bad) for part in token.split(".")[1:])


def test_a_sign_in_is_found_by_the_reference_that_was_read_out(app: Flask, carol: Visitor) -> None:
    answer = app.test_client().get("/sso/login/jwt", query_string={"jwt": ispring_token(SECOND_KEY, ALICE.email)})
    reference = answer.location.split("reference=")[1]
    carol.open(f"{ACTIVITY}?reference=+{reference.lower()}+")
    assert carol.page.request.path == f"{ACTIVITY}/{reference}"
    assert REJECTIONS["signature_invalid"].remedy in carol.text
    assert "corporate" in carol.text


def test_a_reference_that_was_never_given_out_is_not_found(carol: Visitor) -> None:
    assert carol.open(f"{ACTIVITY}?reference=NOSUCH").status_code == 404
    assert "No log entry has the reference NOSUCH" in carol.text
    assert carol.open(f"{ACTIVITY}/NOSUCH").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["REF0000003", "REF0000002", "REF0000001", "REF0000000"]),
        ({"email": "alice@example.com"}, ["REF0000001", "REF0000000"]),
        ({"email": " Alice@Example.COM "}, ["REF0000001", "REF0000000"]),
        ({"email": "LICE"}, ["REF0000001", "REF0000000"]),
        ({"code": "token_expired"}, ["REF0000002", "REF0000001"]),
        ({"code": "refused"}, ["REF0000003", "REF0000002", "REF0000001"]),
        ({"email": "alice@example.com", "code": "token_expired"}, ["REF0000001"]),
        ({"email": "alice@example.com", "code": "token_replayed"}, []),
        ({"code": "no_such_code"}, ["REF0000003", "REF0000002", "REF0000001", "REF0000000"]),
    ],
)
def test_the_log_is_filtered(app: Flask, carol: Visitor, query: dict[str, str], found: list[str]) -> None:
    write(
        app,
        {"email": "ALICE@example.com"},
        {"email": "alice@example.com", "code": "token_expired"},
        {"email": "bob@example.com", "code": "token_expired"},
        {"code": "token_replayed"},
    )
    assert references(carol, **query) == found


def test_an_address_that_only_looks_like_another_is_not_mixed_up_with_it(app: Flask, carol: Visitor) -> None:
    write(app, {"email": "\u212aate@example.com"}, {"email": "kate@example.com"})
    assert references(carol, email="kate@example.com") == ["REF0000001"]


def test_every_code_can_be_chosen(carol: Visitor) -> None:
    page = carol.open(ACTIVITY).text
    for code in REJECTIONS:
        assert f"<option>{code}</option>" in page


def test_pages_go_back_without_a_gap_or_a_double(app: Flask, carol: Visitor) -> None:
    count = 2 * PAGE_ROWS + 5
    write(app, *({"email": ALICE.email, "code": "token_expired"} for _ in range(count)))
    for query in ("", "?email=alice@example.com", "?code=token_expired", "?code=refused"):
        seen: list[str] = []
        address = ACTIVITY + query
        while address:
            page = carol.open(address).text
            seen += re.findall(r'href="/settings/activity/(REF\d+)"', page)
            older = re.search(r'rel="next" href="([^"]+)"', page)
            address = older[1].replace("&amp;", "&") if older else ""
        assert seen == [f"REF{number:07}" for number in reversed(range(count))]


def test_what_a_stranger_sent_is_shown_as_text(app: Flask, carol: Visitor) -> None:
    write(app, {"email": "<b>@example.com", "code": "claim_invalid", "detail": "<script>alert(1)</script>"})
    for address in (ACTIVITY, f"{ACTIVITY}/REF0000000"):
        page = carol.open(address).text
        assert "<script>" not in page
        assert "<b>" not in page


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("reference = 'X'", "activity_1"),  # what SQLite calls the index of the unique references
        ("email = 'a' AND id < 5 ORDER BY id DESC", "activity_of_email"),
        ("code = 'a' AND id < 5 ORDER BY id DESC", "activity_of_code"),
        ("code IS NOT NULL AND id < 5 ORDER BY id DESC", "activity_refused"),
        ("account_id = 1 ORDER BY at DESC, id DESC", "activity_of_account"),
    ],
)
def test_each_way_to_look_things_up_has_an_index_and_sorts_nothing(app: Flask, where: str, index: str) -> None:
    with core_of(app).database.engine.connect() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN SELECT * FROM activity WHERE {where}"))]  # noqa: S608
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_the_account_and_the_provider_of_a_line_are_linked(app: Flask, carol: Visitor) -> None:
    carol.open(ACTIVITY)
    reference = re.findall(rf'href="{ACTIVITY}/([0-9A-Z]+)"', carol.page.text)[0]
    carol.open(f"{ACTIVITY}/{reference}")
    assert CAROL.email in carol.text
    assert 'href="/settings/users/1"' in carol.page.text


def test_every_refusal_includes_wrong_passwords_and_so_do_the_figures(app: Flask, carol: Visitor) -> None:
    core_of(app).logbook.note_local_refusal(
        ALICE.email, From("192.0.2.1"), reference="REF0000009", detail="wrong password", code=activity.WRONG_PASSWORD
    )
    assert references(carol, code="refused") == ["REF0000009"]
    assert references(carol, code="wrong_password") == ["REF0000009"]
    assert "<option>wrong_password</option>" in carol.open(ACTIVITY).text
    metrics = app.test_client().get("/metrics", environ_overrides={"lychgate.peer": "127.0.0.1"}).text
    assert 'lychgate_events_total{code="wrong_password",event="refused"}' in metrics
    assert 'lychgate_events_total{code="none",event="refused"}' not in metrics


def test_refusals_that_were_counted_are_found_by_the_reference_that_each_person_got(app: Flask, carol: Visitor) -> None:
    """And the page says how many there were, and that the reference belongs to no single person."""
    long = {"headers": {"User-Agent": "x" * 200}, "query_string": {"jwt": ispring_token(SECOND_KEY, ALICE.email)}}
    attempt = Attempt(core_of(app).provider_registry.get("corporate").provider)
    while (
        core_of(app).logbook.note_refusal(
            SignatureInvalid("x" * 1000), From("192.0.2.1"), reference=new_reference(), attempt=attempt
        )
        != Fold.at(int(time.time()), "signature_invalid", "corporate").reference
    ):
        pass
    locations = [app.test_client().get("/sso/login/jwt", **long).location for _ in range(4)]
    core_of(app).logbook.flush()
    reference = locations[-1].split("reference=")[1]
    assert carol.open(f"{ACTIVITY}?reference={reference}").status_code == 200
    assert carol.page.request.path == f"{ACTIVITY}/{reference}"
    assert re.search(r"Count ?[1-5] time", carol.text)  # one, if an hour has just ended
    assert "All of these people saw this reference" in carol.text
    assert "corporate" in carol.text
    carol.open(f"{ACTIVITY}?code=signature_invalid")
    assert re.search(r"signature_invalid [1-5] time", carol.text)
    assert "several" in carol.text
