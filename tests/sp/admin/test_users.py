"""The account pages: search, display, disable, enable again."""

import re
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError

from lab.cast import ALICE, CAROL, MALLORY
from lab.minting import ispring_token, mint
from shared.errors import SeatLimitReached, StoreUnavailable
from sp.accounts.manage import LastAdministrator
from sp.accounts.search import PAGE_ROWS
from sp.activity import audit
from sp.database.models import Account, Identity
from sp.emails import email_key
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor, forms_of
from tests.support.gateway import core_of

USERS = "/settings/users"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def account(app: Flask, email: str, **columns: Any) -> int:
    """Put an account into the database; return its id."""
    return accounts(app, [email], **columns)[0]


def accounts(app: Flask, emails: list[str], **columns: Any) -> list[int]:
    """Put accounts into the database; return their ids."""
    with core_of(app).database.engine.begin() as connection:
        query = insert(Account).returning(Account.id)
        return [connection.execute(query, row(email, **columns)).scalar_one() for email in emails]


def row(email: str, **columns: Any) -> dict[str, Any]:
    return {
        "email": email,
        "email_key": email_key(email),
        "groups": [],
        "attributes": {},
        "is_active": True,
        "is_admin": False,
        "created_at": datetime.now(UTC),
        **columns,
    }


def alice_in(app: Flask) -> Any:
    """Sign Alice in by a token; return her browser."""
    client = app.test_client()
    client.get("/sso/login/jwt", query_string={"jwt": ispring_token(KEY, ALICE.email)})
    assert client.get("/account").status_code == 200
    return client


def id_of(app: Flask, email: str) -> int:
    person = core_of(app).people.find(email)
    assert person is not None
    return person.id


def act(carol: Visitor, account_id: int, what: str, **values: str) -> None:
    carol.open(f"{USERS}/{account_id}")
    form = carol.form(f"{USERS}/{account_id}/{what}")
    form.fields.update(values)
    carol.send(form)


# Finding


def listed(carol: Visitor, **query: str) -> list[str]:
    """Return the e-mails on the page of accounts for *query*."""
    page = carol.client.get(USERS, query_string=query)
    assert page.status_code == 200
    return re.findall(r'<a href="/settings/users/\d+">([^<]+)</a>', page.text)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["a.liddell@example.com", "carol@example.com", "mueller@example.org", "percy%_@example.com"]),
        ("a.liddell@example.com", ["a.liddell@example.com"]),
        ("A.LIDDELL@EXAMPLE.COM", ["a.liddell@example.com"]),
        ("liddell", ["a.liddell@example.com"]),
        ("@example.org", ["mueller@example.org"]),
        ("Alice", ["a.liddell@example.com"]),
        ("alice LIDDELL", ["a.liddell@example.com"]),
        ("Müller", ["mueller@example.org"]),
        ("müller", ["mueller@example.org"]),
        ("jörg müller", ["mueller@example.org"]),
        ("wonderland", ["a.liddell@example.com"]),
        ("alice müller", []),
        ("%", ["percy%_@example.com"]),
        ("_", ["percy%_@example.com"]),
        ("percy%_@example.com", ["percy%_@example.com"]),
        ("' OR 1=1 --", []),
    ],
)
def test_an_account_is_found_by_its_address_or_a_name(
    app: Flask, carol: Visitor, search: str, found: list[str]
) -> None:
    account(app, "a.liddell@example.com", given_name="Alice", family_name="Liddell", login="wonderland")
    account(app, "mueller@example.org", name="Jörg Müller")
    account(app, "percy%_@example.com")
    assert listed(carol, q=search) == found


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("active", ["carol@example.com"]),
        ("disabled", ["gone@example.com"]),
        ("administrators", ["carol@example.com"]),
        ("nonsense", ["carol@example.com", "gone@example.com"]),
    ],
)
def test_accounts_are_found_by_their_state(app: Flask, carol: Visitor, state: str, found: list[str]) -> None:
    account(app, "gone@example.com", is_active=False)
    assert listed(carol, state=state) == found


def test_pages_follow_one_another_without_a_gap_or_a_double(app: Flask, carol: Visitor) -> None:
    expected = sorted([*(f"person-{number:03}@example.com" for number in range(2 * PAGE_ROWS + 7)), CAROL.email])
    accounts(app, [email for email in expected if email != CAROL.email])
    seen: list[str] = []
    address = USERS
    while address:
        page = carol.open(address)
        seen += re.findall(r'<a href="/settings/users/\d+">([^<]+)</a>', page.text)
        more = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = more[1].replace("&amp;", "&") if more else ""
    assert seen == expected


def test_a_search_goes_on_to_the_next_page_with_the_same_words(app: Flask, carol: Visitor) -> None:
    numbers = range(PAGE_ROWS + 3)
    accounts(app, [f"{word}-{number:03}@example.com" for number in numbers for word in ("staff", "guest")])
    first = carol.client.get(USERS, query_string={"q": "staff"})
    more = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert more
    second = carol.client.get(more[1].replace("&amp;", "&"))
    assert len(re.findall(r"staff-\d+@", second.text.partition("<footer")[0])) == 3
    assert "guest-" not in second.text


def test_the_seats_that_are_taken_are_shown(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SEAT_LIMIT="12")
    carol = administrator_of(app)
    account(app, "gone@example.com", is_active=False)
    carol.open(USERS)
    assert "1 active of 12 seats" in carol.text


# Seeing


def test_an_account_shows_provider_ids_attributes_groups_and_sessions(app: Flask, carol: Visitor) -> None:
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iat": now,
        "exp": now + 60,
        "jti": "1",
        "email": ALICE.email,
        "sub": "a-17",
        "groups": ["staff", "choir"],
    }
    core_of(app).provider_store.apply(
        {"corporate": {**CORPORATE, "unsolicited": "accept", "mapping": {"id": "sub", "desk": "desk"}}}, actor="test"
    )
    client = app.test_client()
    client.get(
        "/sso/login/jwt",
        query_string={"jwt": mint({**claims, "desk": {"floor": 3}}, KEY)},
        headers={"User-Agent": "Looking-Glass/1.0"},
    )
    carol.open(f"{USERS}/{id_of(app, ALICE.email)}")
    for words in ("a-17", "corporate", "staff, choir", 'desk {"floor": 3}', "Looking-Glass/1.0", "by corporate"):
        assert words in carol.text


def test_an_account_that_is_not_there_is_not_found(carol: Visitor) -> None:
    assert carol.open(f"{USERS}/4711").status_code == 404


def test_what_a_token_said_is_shown_as_text(app: Flask, carol: Visitor) -> None:
    number = account(app, "x@example.com", name="<script>alert(1)</script>", attributes={"<b>": ["<i>"]})
    page = carol.open(f"{USERS}/{number}").text
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page


# Disabling and enabling


def test_disabling_ends_the_sessions_at_once(app: Flask, carol: Visitor) -> None:
    alice = alice_in(app)
    act(carol, id_of(app, ALICE.email), "disable")
    assert "is disabled, and all of its sessions have ended" in carol.text
    assert alice.get("/account").status_code == 303
    answer = app.test_client().get("/sso/login/jwt", query_string={"jwt": ispring_token(KEY, ALICE.email)})
    assert "code=user_disabled" in answer.location


def test_disabling_ends_the_sessions_at_once_for_the_worker_that_believes_them(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}}, SP_SESSION_CACHE="3600")
    carol, alice = administrator_of(app), alice_in(app)
    act(carol, id_of(app, ALICE.email), "disable")
    assert alice.get("/account").status_code == 303


def test_an_enabled_account_may_come_in_again(app: Flask, carol: Visitor) -> None:
    alice_in(app)
    number = id_of(app, ALICE.email)
    act(carol, number, "disable")
    act(carol, number, "enable")
    alice_in(app)


def test_enabling_beyond_the_seat_limit_is_refused(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SEAT_LIMIT="1")
    carol = administrator_of(app)
    number = account(app, "gone@example.com", is_active=False)
    act(carol, number, "enable")
    assert carol.page.status_code == 403
    assert "All 1 seats are taken" in carol.text
    assert core_of(app).account_search.detail(number).person.is_active is False  # type: ignore[union-attr]


def test_the_seat_limit_holds_when_several_are_enabled_at_once(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_SEAT_LIMIT="3")
    numbers = accounts(app, [f"{number}@example.com" for number in range(8)], is_active=False)
    refused = []

    def enable(number: int) -> None:
        try:
            core_of(app).people.enable(number)
        except SeatLimitReached:
            refused.append(number)

    at_once(enable, numbers)
    assert core_of(app).account_search.active() == 3
    assert len(refused) == 5


def at_once(work: Any, items: list[int]) -> None:
    barrier = Barrier(len(items))

    def run(item: int) -> None:
        barrier.wait()
        work(item)

    threads = [Thread(target=run, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_last_administrator_cannot_disable_himself(app: Flask, carol: Visitor) -> None:
    act(carol, id_of(app, CAROL.email), "disable")
    assert carol.page.status_code == 409
    assert "This is the last active administrator" in carol.text
    assert carol.open("/account").status_code == 200


def test_an_administrator_who_is_disabled_does_not_count(app: Flask, carol: Visitor) -> None:
    account(app, "former@example.com", is_admin=True, is_active=False)
    act(carol, id_of(app, CAROL.email), "disable")
    assert "This is the last active administrator" in carol.text


def test_one_of_two_administrators_may_go(app: Flask, carol: Visitor) -> None:
    account(app, "dave@example.com", is_admin=True)
    act(carol, id_of(app, CAROL.email), "disable")
    assert not core_of(app).people.find(CAROL.email).is_active  # type: ignore[union-attr]


def test_of_administrators_who_disable_one_another_at_once_one_stays(app: Flask, carol: Visitor) -> None:
    numbers = [id_of(app, CAROL.email), *accounts(app, [f"{n}@example.com" for n in range(4)], is_admin=True)]
    refused = []

    def disable(number: int) -> None:
        try:
            core_of(app).people.disable(number, keep_an_administrator=True)
        except LastAdministrator:
            refused.append(number)

    at_once(disable, numbers)
    assert len(refused) == 1


def test_the_command_line_may_disable_anybody(app: Flask, carol: Visitor) -> None:
    core_of(app).people.disable(id_of(app, CAROL.email))
    assert not core_of(app).people.find(CAROL.email).is_active  # type: ignore[union-attr]


# Sessions


def test_all_sessions_of_a_person_are_ended(app: Flask, carol: Visitor) -> None:
    here, there = alice_in(app), alice_in(app)
    act(carol, id_of(app, ALICE.email), "sessions/end")
    assert "2 sessions have ended for alice@example.com" in carol.text
    assert [client.get("/account").status_code for client in (here, there)] == [303, 303]
    assert carol.open("/account").status_code == 200


def test_one_session_is_ended_and_the_other_goes_on(app: Flask, carol: Visitor) -> None:
    here, there = alice_in(app), alice_in(app)
    number = id_of(app, ALICE.email)
    newest, oldest = core_of(app).session_finder.list_of(number)
    act(carol, number, "sessions/end", session=oldest.public_id)
    left = core_of(app).session_finder.list_of(number)
    assert [session.public_id for session in left] == [newest.public_id]
    assert sorted(client.get("/account").status_code for client in (here, there)) == [200, 303]


def test_a_session_of_somebody_else_is_not_ended_on_this_page(app: Flask, carol: Visitor) -> None:
    alice = alice_in(app)
    (session,) = core_of(app).session_finder.list_of(id_of(app, ALICE.email))
    other = account(app, MALLORY.email)
    token = (carol.open(f"{USERS}/{other}"), carol.form(f"{USERS}/{other}/disable"))[1].fields["csrf_token"]
    carol.client.post(f"{USERS}/{other}/sessions/end", data={"csrf_token": token, "session": session.public_id})
    assert alice.get("/account").status_code == 200


def test_nobody_ends_the_session_of_somebody_else_on_the_own_page(app: Flask, carol: Visitor) -> None:
    (carols,) = core_of(app).session_finder.list_of(id_of(app, CAROL.email))
    alice = Visitor(alice_in(app))
    alice.open("/account")
    form = next(form for form in forms_of(alice.page) if "/sessions/" in form.action)
    alice.client.post(f"/account/sessions/{carols.public_id}/end", data=form.fields)
    assert carol.open("/account").status_code == 200


# The audit trail


def test_who_disabled_enabled_or_signed_out_whom_is_written_down(app: Flask, carol: Visitor) -> None:
    alice_in(app)
    number = id_of(app, ALICE.email)
    for what in ("sessions/end", "disable", "enable"):
        act(carol, number, what)
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT action, actor FROM settings_change WHERE subject = :who ORDER BY id"), {"who": ALICE.email}
        )
        assert [tuple(row) for row in rows] == [
            ("sessions ended", CAROL.email),
            ("account disabled", CAROL.email),
            ("account enabled", CAROL.email),
        ]
    assert "Account disabled: alice@example.com" in (carol.open(f"{USERS}/{number}"), carol.text)[1]


def test_who_ended_which_session_of_whom_is_written_down(app: Flask, carol: Visitor) -> None:
    alice_in(app)
    number = id_of(app, ALICE.email)
    (session,) = core_of(app).session_finder.list_of(number)
    before = datetime.now(UTC)
    act(carol, number, "sessions/end", session=session.public_id)
    (line,) = audit.recent(core_of(app).database, subject=ALICE.email)
    assert (line.action, line.actor) == ("session ended", CAROL.email)
    assert line.detail == {"session": [session.public_id, None]}
    assert before <= line.at <= datetime.now(UTC)
    assert f"Session ended: {ALICE.email}" in (carol.open(f"{USERS}/{number}"), carol.text)[1]


def test_a_session_that_is_not_there_leaves_no_line(app: Flask, carol: Visitor) -> None:
    number = account(app, MALLORY.email)
    (carols,) = core_of(app).session_finder.list_of(id_of(app, CAROL.email))
    for public_id in ("0" * 16, carols.public_id):
        assert core_of(app).people.sign_out(number, public_id=public_id) == 0
    assert audit.recent(core_of(app).database, subject=MALLORY.email) == []


def test_no_session_ends_without_its_line(app: Flask, carol: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise OperationalError("statement", {}, Exception("the database went away"))

    alice, number = alice_in(app), id_of(app, ALICE.email)
    (session,) = core_of(app).session_finder.list_of(number)
    monkeypatch.setattr("sp.accounts.manage.audit.record", fails)
    for public_id in (session.public_id, None):
        with pytest.raises(StoreUnavailable):
            core_of(app).people.sign_out(number, public_id=public_id)
    assert alice.get("/account").status_code == 200


def test_what_changes_nothing_is_not_written_down(app: Flask, carol: Visitor) -> None:
    number = account(app, "gone@example.com", is_active=False)
    core_of(app).people.disable(number)
    core_of(app).people.sign_out(number)
    core_of(app).people.enable(4711)
    with core_of(app).database.engine.connect() as connection:
        count = text("SELECT count(*) FROM settings_change WHERE subject = 'gone@example.com'")
        assert connection.execute(count).scalar() == 0


def test_a_local_sign_in_counts_as_the_last_one(app: Flask, carol: Visitor) -> None:
    detail = core_of(app).account_search.detail(id_of(app, CAROL.email))
    assert detail is not None
    assert detail.person.last_sign_in_at is not None


def test_an_identity_at_each_provider_is_listed(app: Flask, carol: Visitor) -> None:
    number = account(app, "x@example.com")
    with core_of(app).database.engine.begin() as connection:
        for provider in ("corporate", "campus"):
            row = {"provider": provider, "subject": f"id-{provider}", "account_id": number, "issued_at": 0.0}
            connection.execute(insert(Identity), row | {"created_at": datetime.now(UTC)})
    carol.open(f"{USERS}/{number}")
    assert "id-corporate" in carol.text
    assert "id-campus" in carol.text


def test_a_person_who_ends_the_present_session_is_signed_out_and_not_signed_in_again_at_once(app: Flask) -> None:
    alice = Visitor(alice_in(app))
    alice.open("/account")
    (form,) = [form for form in forms_of(alice.page) if form.action.endswith("/end")]
    answer = alice.send(form, follow=False)
    assert answer.location == "/logout"
    assert alice.open("/logout").status_code == 200
    assert "You are signed out" in alice.text
    assert alice.client.get("/account").status_code == 303
