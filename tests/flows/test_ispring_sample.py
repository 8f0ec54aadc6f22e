"""The published iSpring sample, unchanged, against the gateway: over HTTP, as authentication.php and a browser talk.

The script sends GET /sso/login/jwt?jwt= with iat, jti, exp and email, and reads no parameter of the request that came
to it, so neither the page asked for nor a nonce comes back.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lab.cast import ALICE, Person, stranger
from lab.journeys import expect_in, press_tab_until_on, sign_in, type_password
from lab.minting import ispring_token
from lab.pair import Pair, running_pair
from tests.conftest import NewContext
from tests.support.question import answer_of

UNCHECKED = {"expected": "", "match": True, "required": False}
DEEP_LINK = "/courses/17?chapter=3"


@pytest.fixture(scope="module")
def ispring_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that agrees on the sample's four claims: no issuer, no audience, no nonce, no echo."""
    with running_pair(
        tmp_path_factory.mktemp("ispring"),
        provider={"preset": "ispring", "issuer": UNCHECKED, "audience": UNCHECKED},
        service={"preset": "ispring", "issuer": "", "audience": ""},
        people=[ALICE],
    ) as pair:
        yield pair


@pytest.fixture
def client(ispring_pair: Pair) -> Iterator[httpx.Client]:
    """A browser's cookies and headers, without its patience: redirects are followed by the test."""
    with httpx.Client(base_url=ispring_pair.sp.url, headers={"Accept": "text/html"}, trust_env=False) as client:
        yield client


def test_the_samples_token_signs_in_whoever_was_sent_away_for_it_and_leads_to_the_page_asked_for(
    ispring_pair: Pair, client: httpx.Client
) -> None:
    person = stranger()
    assert asked_to_sign_in(client, DEEP_LINK, ispring_pair)
    answer = deliver(client, ispring_pair, person)
    assert answer.status_code == 303
    assert answer.headers["location"] == DEEP_LINK
    assert person.email in client.get(DEEP_LINK).text


def test_the_samples_token_works_for_a_browser_that_asked_for_nothing_after_one_more_round_and_a_yes(
    ispring_pair: Pair, client: httpx.Client
) -> None:
    person = stranger()
    answer = deliver(client, ispring_pair, person)
    assert answer.status_code == 303
    assert urlsplit(answer.headers["location"]).path == "/sso/start/corporate"
    assert "sp_session" not in client.cookies

    assert sent_to_the_identity_provider(client.get(answer.headers["location"]), ispring_pair)
    question = deliver(client, ispring_pair, person)
    assert question.status_code == 200
    assert f"Continue as {person.email}?" in question.text
    assert "sp_session" not in client.cookies
    action, fields = answer_of(question.text)
    assert client.post(action, data=fields).headers["location"] == "/"
    assert person.email in client.get("/").text


def test_the_samples_account_is_made_at_the_first_sign_in_and_found_at_the_second(
    ispring_pair: Pair, client: httpx.Client
) -> None:
    person = stranger()
    for _ in range(2):
        client.get("/sso/start")
        assert deliver(client, ispring_pair, person).headers["location"] == "/"
    accounts = json.loads(ispring_pair.sp_command("users", "list", "--json").stdout)
    assert [account["email"] for account in accounts].count(person.email) == 1


def test_the_samples_token_opens_one_session_only(ispring_pair: Pair, client: httpx.Client) -> None:
    token = ispring_token(ispring_pair.key, stranger().email)
    client.get("/sso/start")
    assert client.get("/sso/login/jwt", params={"jwt": token}).headers["location"] == "/"
    assert client.get("/sso/login/jwt", params={"jwt": token}).headers["location"] == "/"

    with httpx.Client(base_url=ispring_pair.sp.url, headers={"Accept": "text/html"}, trust_env=False) as thief:
        thief.get("/sso/start")
        refused = thief.get("/sso/login/jwt", params={"jwt": token})
    assert parse_qs(urlsplit(refused.headers["location"]).query)["code"] == ["token_replayed"]


def test_every_token_of_the_sample_counts_as_another_one_whatever_its_jti_looks_like(
    ispring_pair: Pair, client: httpx.Client
) -> None:
    person = stranger()
    for _ in range(5):
        client.get("/sso/start")
        assert deliver(client, ispring_pair, person).headers["location"] == "/"


def test_the_sign_out_token_is_one_that_the_samples_logout_script_accepts(
    ispring_pair: Pair, client: httpx.Client
) -> None:
    person = stranger()
    client.get("/sso/start")
    deliver(client, ispring_pair, person)
    page = client.get("/logout").text
    form_token = page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    answer = client.post("/logout", data={"csrf_token": form_token})

    address = urlsplit(answer.headers["location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{ispring_pair.idp.url}/logout"
    claims = opened_as_php_does(parse_qs(address.query)["jwt"][0], ispring_pair.key)
    assert claims["email"] == person.email
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.browser
def test_in_a_browser_the_deep_link_survives_an_identity_provider_that_echoes_nothing(
    page: Page, ispring_pair: Pair
) -> None:
    sign_in(page, ispring_pair, ALICE, DEEP_LINK)


@pytest.mark.browser
@pytest.mark.parametrize("colors", ["light", "dark"])
def test_in_a_browser_without_scripts_the_question_is_readable_and_answered_by_the_keyboard(
    new_context: NewContext, ispring_pair: Pair, colors: Literal["light", "dark"]
) -> None:
    page = new_context(color_scheme=colors).new_page()
    page.goto(f"{ispring_pair.idp.url}/")
    page.get_by_role("link", name="The gate").click()
    type_password(page, ALICE)
    expect(page.get_by_role("heading", name=f"Continue as {ALICE.email}?")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("script").count() == 0
    press_tab_until_on(page, page.get_by_role("button", name=f"Continue as {ALICE.email}"))
    page.keyboard.press("Enter")
    expect_in(page, ispring_pair, ALICE)


@pytest.mark.browser
def test_in_a_browser_this_is_not_me_opens_nothing_and_says_so(page: Page, ispring_pair: Pair) -> None:
    page.goto(f"{ispring_pair.idp.url}/")
    page.get_by_role("link", name="The gate").click()
    type_password(page, ALICE)
    page.get_by_role("button", name="This is not me").click()
    expect(page.get_by_role("heading", name="You were not signed in")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    assert "sp_session" not in {cookie["name"] for cookie in page.context.cookies()}


@pytest.mark.browser
def test_attack_a_foreign_page_that_opens_the_sign_in_and_then_brings_its_own_token_signs_nobody_in(
    page: Page, ispring_pair: Pair
) -> None:
    """One click: a window is opened at /sso/start, and sent on to a token of Mallory's a moment later."""
    evil, gate = "http://evil.localhost", ispring_pair.sp.url
    mallory = stranger()
    bait = f'<a href="{gate}/deep">Win</a>'
    page.route(f"{evil}/**", lambda route: route.fulfill(body=bait, content_type="text/html"))
    page.goto(f"{evil}/")
    page.get_by_role("link", name="Win").click()
    expect(page.get_by_label("Password")).to_be_visible()
    prize = f'<a href="{gate}/sso/login/jwt?jwt={ispring_token(ispring_pair.key, mallory.email)}">Claim</a>'
    page.unroute_all()
    page.route(f"{evil}/**", lambda route: route.fulfill(body=prize, content_type="text/html"))
    page.goto(f"{evil}/")
    page.get_by_role("link", name="Claim").click()
    expect(page.get_by_role("heading", name=f"Continue as {mallory.email}?")).to_be_visible()
    assert "sp_session" not in {cookie["name"] for cookie in page.context.cookies()}


def asked_to_sign_in(client: httpx.Client, path: str, pair: Pair) -> bool:
    """Ask for *path* and follow the gateway's redirects up to the identity provider."""
    answer = client.get(path)
    assert answer.status_code == 302
    return sent_to_the_identity_provider(client.get(answer.headers["location"]), pair)


def sent_to_the_identity_provider(answer: httpx.Response, pair: Pair) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith(f"{pair.idp.url}/login-token/?")


def deliver(client: httpx.Client, pair: Pair, person: Person) -> httpx.Response:
    """Send the browser back as authentication.php does, and return the gateway's answer."""
    return client.get(f"/sso/login/jwt?jwt={ispring_token(pair.key, person.email)}")


def opened_as_php_does(token: str, key: str) -> dict[str, Any]:
    """Return the claims, as JWT::decode with the shared secret and HS256 does: it knows no typ and no kid."""
    signing_input, _dot, signature = token.rpartition(".")
    expected = hmac.new(key.encode(), signing_input.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == expected
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(signing_input.partition(".")[2] + "=="))
    return claims
