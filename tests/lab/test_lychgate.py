"""The fixture `lychgate`: a pair that a test starts, signs in to, changes, and gets back as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from lab.cast import MALLORY, Person
from lab.in_process.lychgate import Lychgate
from lab.in_process.made_session import SignInFailed
from shared.clock import time_now

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from playwright.sync_api import Page

HTML = {"Accept": "text/html"}


def who(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer with all that an application is told of the person."""
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {"user": environ.get("sso.user"), "remote_user": environ.get("REMOTE_USER"), "path": environ["PATH_INFO"]}
    headers = {name: value for name, value in environ.items() if name.startswith("HTTP_REMOTE_")}
    return [json.dumps({**told, **headers}, default=str).encode()]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, headers=HTML, timeout=30) as made:
        yield made


def told(lychgate: Lychgate, client: httpx.Client, path: str = "/") -> dict[str, Any]:
    answer = client.get(lychgate.sp_url + path)
    assert answer.status_code == 200, answer
    found: dict[str, Any] = answer.json()
    return found


def refusal(client: httpx.Client, url: str) -> str:
    """Return the code of the error page at which a visit of *url* ends."""
    answer = client.get(url, follow_redirects=True)
    assert answer.url.path == "/access/jwt/error", answer.url
    return str(answer.url.params["code"])


def test_a_person_who_is_signed_in_at_once_is_seen_as_one_who_typed_a_password(
    lychgate: Lychgate, client: httpx.Client
) -> None:
    person = lychgate.add_person("dora@example.org", family_name="Doyle", groups=["staff", "admins"], department="R&D")
    lychgate.app(who)
    seen = []
    for fast in (False, True):
        lychgate.sign_in(client, person, fast=fast)
        seen.append(told(lychgate, client))
    assert seen[0]["user"].pop("session") != seen[1]["user"].pop("session")
    assert seen[0] == seen[1]
    assert seen[0]["remote_user"] == "dora@example.org"
    assert seen[0]["user"]["groups"] == ["staff", "admins"]
    assert seen[0]["user"]["attributes"] == {"department": "R&D"}
    assert [session.email for session in lychgate.sessions(person)] == ["dora@example.org"] * 2


def test_a_decided_sign_in_names_the_person_as_a_real_one_does(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.app(who)
    lychgate.sign_in(client)
    real = told(lychgate, client)["user"]
    client.cookies.clear()
    lychgate.next()
    answer = client.get(lychgate.sp_url, follow_redirects=True)
    assert answer.json()["user"] | {"session": ""} == real | {"session": ""}


@pytest.mark.browser
def test_a_browser_goes_through_the_form_to_the_page(lychgate: Lychgate, page: Page) -> None:
    lychgate.sign_in(page, path="/reports?year=2026")
    assert page.url == f"{lychgate.sp_url}/reports?year=2026"
    assert "You are signed in, Alice Liddell" in page.content()


@pytest.mark.browser
def test_a_browser_is_signed_in_at_once_and_signs_out_on_both_sides(lychgate: Lychgate, page: Page) -> None:
    lychgate.sign_in(page, path="/reports", fast=True)
    assert "You are signed in, Alice Liddell" in page.content()
    page.goto(f"{lychgate.idp_url}/")
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("It ended 1 session").wait_for()
    assert lychgate.sessions() == []


@pytest.mark.browser
def test_another_person_takes_over_the_same_browser(lychgate: Lychgate, page: Page) -> None:
    mallory = lychgate.add_person(MALLORY)
    for person in (lychgate.alice, mallory):
        lychgate.sign_in(page, person)
        assert person.name in page.content()


@pytest.mark.parametrize("fast", [False, True])
def test_a_sign_in_that_fails_says_the_code(lychgate: Lychgate, client: httpx.Client, fast: bool) -> None:
    lychgate.provider(email_domains=["example.net"])
    with pytest.raises(SignInFailed, match="email_not_allowed") as failed:
        lychgate.sign_in(client, fast=fast)
    assert failed.value.code == "email_not_allowed"


def test_an_unknown_person_is_named_in_the_failure(lychgate: Lychgate, client: httpx.Client) -> None:
    ghost = Person("ghost@example.org", "not-in-any-directory", "G", "Host")
    with pytest.raises(SignInFailed, match=r"ghost@example\.org does not exist"):
        lychgate.session(ghost)
    with pytest.raises(SignInFailed, match="status 401"):
        lychgate.sign_in(client, ghost)


def test_a_disabled_person_is_not_signed_in(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.disable(lychgate.alice)
    with pytest.raises(SignInFailed, match="is disabled"):
        lychgate.sign_in(client, fast=True)


@pytest.mark.parametrize("fast", [False, True])
def test_a_session_of_requests_is_signed_in_too(lychgate: Lychgate, fast: bool) -> None:
    lychgate.app(who)
    with requests.Session() as session:
        session.trust_env = False
        lychgate.sign_in(session, fast=fast)
        answer = session.get(lychgate.sp_url, headers=HTML, timeout=30)
    assert answer.json()["remote_user"] == lychgate.alice.email


def test_a_visitor_of_another_kind_is_a_mistake_that_is_explained(lychgate: Lychgate) -> None:
    with pytest.raises(TypeError, match=r"httpx\.Client or requests\.Session; not builtins\.object"):
        lychgate.sign_in(object())
    with pytest.raises(TypeError, match="give an asynchronous one the cookies"):
        lychgate.sign_in(httpx.AsyncClient())


@pytest.mark.parametrize(
    ("fault", "code"),
    [("expired", "token_expired"), ("wrong-audience", "audience_mismatch"), ("alg-none", "algorithm_not_allowed")],
)
def test_a_fault_of_the_next_token_is_refused_with_its_code(
    lychgate: Lychgate, client: httpx.Client, fault: str, code: str
) -> None:
    lychgate.next(fault=fault)
    assert refusal(client, lychgate.sp_url) == code
    assert [sent.fault for sent in lychgate.sent] == [fault]
    assert lychgate.sessions() == []


def test_the_next_sign_in_has_the_claims_of_the_test_and_the_one_after_it_is_real(
    lychgate: Lychgate, client: httpx.Client
) -> None:
    lychgate.app(who)
    lychgate.next("eve@example.org", claims={"groups": ["admins"]}, without=["family_name"])
    user = client.get(lychgate.sp_url, follow_redirects=True).json()["user"]
    assert (user["email"], user["groups"], user["family_name"]) == ("eve@example.org", ["admins"], None)
    client.cookies.clear()
    assert "Password" in client.get(lychgate.sp_url, follow_redirects=True).text


def test_a_minted_token_signs_a_client_without_a_browser_in(lychgate: Lychgate, client: httpx.Client) -> None:
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    answer = client.post(f"{lychgate.sp_url}/sso/token", data={**grant, "assertion": lychgate.mint()})
    assert answer.status_code == 200, answer.text
    lychgate.app(who)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert client.get(lychgate.sp_url, headers=bearer).json()["remote_user"] == lychgate.alice.email
    expired = client.post(f"{lychgate.sp_url}/sso/token", data={**grant, "assertion": lychgate.mint(fault="expired")})
    assert expired.json()["error_description"].startswith("token_expired")


def test_rules_decide_who_reaches_the_application(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.app(who, rules=[{"path": "/admin/", "allow": {"groups": ["admins"]}}], identity_headers="remote")
    lychgate.sign_in(client, fast=True)
    assert client.get(f"{lychgate.sp_url}/admin/").status_code == 403
    assert told(lychgate, client, "/reports")["HTTP_REMOTE_USER"] == lychgate.alice.email


def test_what_is_not_an_application_is_refused(lychgate: Lychgate) -> None:
    def handler(request: object) -> None:
        """Answer nothing."""

    with pytest.raises(TypeError, match="not a WSGI or ASGI application: it takes"):
        lychgate.app(handler)


# --- The clock ---


def test_a_session_ends_when_hours_pass(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.app(who)
    lychgate.sign_in(client, fast=True)
    lychgate.clock.tick(minutes=59)
    assert told(lychgate, client)["remote_user"] == lychgate.alice.email
    lychgate.clock.tick(minutes=61)
    assert lychgate.sessions() == []
    assert client.get(lychgate.sp_url).status_code == 302


def test_both_programs_live_by_the_moved_clock(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.clock.tick(days=400)
    lychgate.sign_in(client)
    assert lychgate.sessions()[0].detail.created_at == pytest.approx(time.time() + 400 * 86_400, abs=60)


def test_a_token_grows_too_old_on_its_way(lychgate: Lychgate, client: httpx.Client) -> None:
    token = lychgate.mint()
    lychgate.clock.tick(hours=2)
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token}
    assert "token_expired" in client.post(f"{lychgate.sp_url}/sso/token", data=grant).json()["error_description"]


def test_the_clock_is_the_systems_after_the_test() -> None:
    assert time_now() == pytest.approx(time.time(), abs=5)


def test_the_clean_up_deletes_what_has_expired(lychgate: Lychgate) -> None:
    lychgate.session()
    lychgate.clock.tick(days=2)
    lychgate.clean_up()
    lychgate.clock.reset()  # a session that was only hidden would be back
    assert lychgate.sessions() == []


# --- The identity provider is down; the state comes back ---


def test_people_stay_signed_in_while_the_identity_provider_is_down(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.app(who)
    lychgate.sign_in(client, fast=True)
    with lychgate.provider_down():
        assert told(lychgate, client)["remote_user"] == lychgate.alice.email
        with pytest.raises(httpx.ConnectError):
            client.get(lychgate.idp_url)
    assert client.get(lychgate.idp_url).status_code == 200


def test_a_reset_brings_back_people_settings_sessions_application_and_clock(
    lychgate: Lychgate, client: httpx.Client
) -> None:
    for _ in range(2):  # what the second round changes must be seen, though it counts as many changes as the first
        dora = lychgate.add_person("dora@example.org", department="R&D")
        lychgate.add_administrator()
        lychgate.provider(auto_create=False)
        lychgate.next(fault="expired")
        lychgate.app(who)
        lychgate.clock.tick(hours=3)
        assert refusal(client, lychgate.sp_url) == "token_expired"
        with pytest.raises(SignInFailed, match="user_unknown"):
            lychgate.session(dora)
        lychgate.reset()
        assert time_now() == pytest.approx(time.time(), abs=60)
        with pytest.raises(SignInFailed, match="does not exist"):
            lychgate.session(dora)
        lychgate.sign_in(client)
        assert "You are signed in, Alice Liddell" in client.get(lychgate.sp_url).text
        assert len(lychgate.sessions()) == 1
        lychgate.reset()
        assert lychgate.sessions() == []
        assert lychgate.sent == ()


def test_a_setting_after_a_reset_is_not_taken_for_the_one_before_it(lychgate: Lychgate) -> None:
    lychgate.provider(email_domains=["example.net"])
    with pytest.raises(SignInFailed, match="email_not_allowed"):
        lychgate.session()
    lychgate.reset()
    lychgate.provider(display_name="Another name")  # as many changes as before, and no sign-in between them
    assert lychgate.session().email == lychgate.alice.email


def test_a_session_of_the_test_before_opens_nothing(lychgate: Lychgate, client: httpx.Client) -> None:
    made = lychgate.session()
    assert client.get(lychgate.sp_url, headers={"Cookie": made.header}).status_code == 200
    lychgate.reset()
    assert client.get(lychgate.sp_url, headers={"Cookie": made.header}).status_code == 302


def test_an_administrator_ends_sessions(lychgate: Lychgate, client: httpx.Client) -> None:
    lychgate.sign_in(client, fast=True)
    lychgate.end_sessions()
    assert client.get(lychgate.sp_url).status_code == 302
