"""The way of a browser from a further site to home and back: one sign-in for all sites, and one sign-out."""

from collections.abc import Callable
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from lab.cast import ALICE, BOB
from sp.sessions.store import hash_id
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import DOCS, HOME, LOGIN, SHOP, WIKI, Browser
from tests.support.forms import forms_of


def test_one_sign_in_is_good_for_every_site(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page?a=1&b=%2F")
    assert seen.is_reached
    assert seen.url == f"{WIKI}/page?a=1&b=%2F"
    assert [urlsplit(url).path for url in seen.way] == [
        "/page", "/sso/start", "/sso/hand-over", "/sso/start", "/login", "/sso/login/jwt", "/sso/hand-over",
        "/sso/land", "/page",
    ]  # fmt: skip
    seen = alice.visit(f"{SHOP}/basket")
    assert seen.is_reached
    assert [urlsplit(url).path for url in seen.way] == [
        "/basket",
        "/sso/start",
        "/sso/hand-over",
        "/sso/land",
        "/basket",
    ]
    assert alice.visit(f"{HOME}/page").is_reached
    assert alice.tokens == 1


def test_the_application_of_a_site_learns_who_it_is(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page").answer.seen
    assert seen is not None
    assert (seen["REMOTE_USER"], seen["sso.user"]["site"]) == (ALICE.email, "wiki")


def test_every_cookie_is_for_its_host_alone(alice: Browser) -> None:
    for site in (WIKI, SHOP, HOME):
        alice.visit(f"{site}/page")
    assert len({alice.session(site) for site in (WIKI, SHOP, HOME)}) == 3
    for cookie in alice.set_cookies:
        assert cookie.startswith("__Host-"), cookie
        assert "Secure" in cookie
        assert "Path=/" in cookie


def test_a_ticket_is_not_stored_by_caches_or_sent_on(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page", stop="ticket=")
    assert seen.answer.header("Cache-Control") == "no-store"
    assert seen.answer.header("Referrer-Policy") == "no-referrer"
    answer = alice.ask(seen.url)
    assert answer.status == 303
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"


def test_issuing_a_ticket_writes_nothing(alice: Browser) -> None:
    alice.visit(f"{WIKI}/page")
    before = rows(alice)
    alice.visit(f"{SHOP}/page", stop="ticket=")
    assert rows(alice) == before


def rows(browser: Browser) -> list[int]:
    tables = ("session", "spent_token", "activity", "held_token", "settings_change")
    with browser.nodes[0].core.database.engine.connect() as connection:
        return [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]  # noqa: S608


def test_a_hand_over_is_one_line_of_the_activity_log(alice: Browser) -> None:
    alice.visit(f"{WIKI}/page")
    with alice.nodes[0].core.database.reading() as connection:
        lines = connection.execute(text("SELECT event, email, detail FROM activity ORDER BY id")).all()
    assert [tuple(line) for line in lines][1:] == [("hand_over", ALICE.email, "to the site wiki")]


@pytest.mark.parametrize("where", [HOME, WIKI, SHOP])
def test_a_sign_out_anywhere_ends_every_session_and_goes_on_to_the_provider(
    node: Callable[..., Gate], where: str
) -> None:
    provider = {"logout_url": "https://idp.example/logout"}
    alice = Browser([node(provider=provider), node(provider=provider)], ALICE.email)
    for site in (HOME, WIKI, SHOP):
        assert alice.visit(f"{site}/page").is_reached
    answer = alice.sign_out(where)
    assert answer.status == 303
    assert str(answer.header("Location")).startswith("https://idp.example/logout?jwt=")
    assert not [site for site in (HOME, WIKI, SHOP) if alice.is_in(site)]
    assert count_of_sessions(alice) == 0
    assert alice.visit(f"{where}/logout").answer.status == 200


def count_of_sessions(browser: Browser) -> int:
    with browser.nodes[0].core.database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM session")).scalar_one())


def test_signing_in_again_at_once_after_a_sign_out_is_no_redirect_loop(alice: Browser) -> None:
    for _ in range(4):
        assert alice.visit(f"{WIKI}/page").is_reached
        alice.sign_out(WIKI)
    for site in (HOME, WIKI) * 2:
        assert alice.visit(f"{WIKI}/page").is_reached
        alice.sign_out(site)


def test_a_provider_that_a_site_names_signs_people_in_there(node: Callable[..., Gate]) -> None:
    file = f'[sites.wiki]\nurl = "{WIKI}"\napp = "wiki:app"\nprovider = "partner"\n'
    gate = node(file=file)
    partner = {"keys": ["p" * 48], "login_url": "https://partner.example/login"}
    gate.core.provider_store.apply({"partner": partner}, actor="test")
    seen = Browser([gate], ALICE.email).visit(f"{WIKI}/page", stop="partner.example")
    assert seen.url.startswith("https://partner.example/login")


def test_a_link_that_names_a_provider_leads_to_it_and_back_to_the_page(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/sso/start/corporate?return_to=/page")
    assert (seen.url, seen.is_reached) == (f"{WIKI}/page", True)


def test_a_local_password_leads_back_to_the_site(node: Callable[..., Gate]) -> None:
    gate = node(provider={"login_url": ""})
    gate.core.people.create_administrator(BOB.email, "a password of Bob's own")
    bob = Browser([gate], BOB.email)
    seen = bob.visit(f"{WIKI}/page")
    assert urlsplit(seen.url).path == "/login"
    assert f"form-action 'self' {WIKI}" in str(seen.answer.header("Content-Security-Policy"))
    (form,) = forms_of(seen.answer)
    form.fill(email=BOB.email, password="a password of Bob's own")
    answer = bob.ask(f"{HOME}/login", "POST", form.fields)
    assert bob.visit(f"{HOME}{answer.header('Location')}").url == f"{WIKI}/page"


def test_an_earlier_session_of_the_browser_at_the_site_is_replaced(alice: Browser) -> None:
    alice.visit(f"{WIKI}/page")
    first = alice.session(WIKI)
    assert first
    alice.visit(f"{WIKI}/sso/start?return_to=/page")
    store = alice.nodes[0].core.sessions
    assert store.find(first) is None
    assert store.find(str(alice.session(WIKI))) is not None
    assert alice.is_in(HOME)


def test_a_new_sign_in_at_home_ends_the_sessions_at_sites_of_the_one_before(alice: Browser) -> None:
    alice.visit(f"{WIKI}/page")
    before = alice.session(WIKI)
    alice.visit(f"{HOME}/sso/start?return_to=/page")
    assert alice.nodes[0].core.sessions.find(str(before)) is None
    assert alice.visit(f"{WIKI}/page").is_reached


def test_use_of_a_site_keeps_the_session_at_home_alive(node: Callable[..., Gate]) -> None:
    gate = node()
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    alice.visit(f"{SHOP}/page")
    age(gate, 3000)
    assert alice.is_in(WIKI)
    age(gate, 3000)
    assert alice.is_in(SHOP)
    assert alice.is_in(HOME)
    age(gate, 3700)
    assert not [site for site in (WIKI, SHOP, HOME) if alice.is_in(site)]


def age(gate: Gate, seconds: int) -> None:
    """Let all sessions be unused for longer by so many seconds."""
    with gate.core.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE session SET last_seen_at = last_seen_at - :s, created_at = created_at - :s"), {"s": seconds}
        )


def test_use_is_written_to_the_database_no_more_often_than_at_home(node: Callable[..., Gate]) -> None:
    gate = node()
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    assert alice.is_in(WIKI)
    before = gate.queries
    assert alice.is_in(WIKI)
    assert gate.queries == before + 1  # the look-up


def test_attack_a_session_at_a_site_outlives_the_one_at_home(alice: Browser) -> None:
    """A sign-out at the same moment as the landing may leave a row behind; it must not be a session."""
    alice.visit(f"{WIKI}/page")
    home = hash_id(str(alice.session(HOME)))
    with alice.nodes[0].core.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM session WHERE id_hash = :home"), {"home": home})
    assert count_of_sessions(alice) == 1
    assert not alice.is_in(WIKI)
    person = alice.nodes[0].core.people.find(ALICE.email)
    assert person is not None
    assert alice.nodes[0].core.session_finder.list_of(person.id) == []


def test_an_access_token_of_the_sign_in_ends_with_a_sign_out_at_a_site(node: Callable[..., Gate]) -> None:
    gate = node(provider={"access_token_delivery": "query", "return_url": "/page"})
    alice = Browser([gate], ALICE.email)
    seen = alice.visit(f"{HOME}/sso/start")
    (token,) = parse_qs(urlsplit(seen.url).query)["access_token"]
    alice.visit(f"{WIKI}/page")
    with_token = {"Host": urlsplit(SHOP).netloc, "Authorization": f"Bearer {token}"}
    assert gate.ask("/page", headers=with_token).status == 200
    alice.sign_out(WIKI)
    assert gate.ask("/page", headers=with_token).status == 401


def test_revoking_an_access_token_ends_nothing_else(node: Callable[..., Gate]) -> None:
    gate = node(provider={"access_token_delivery": "query", "return_url": "/page"})
    alice = Browser([gate], ALICE.email)
    (token,) = parse_qs(urlsplit(alice.visit(f"{HOME}/sso/start").url).query)["access_token"]
    alice.visit(f"{WIKI}/page")
    gate.core.sessions.end(id_hash=hash_id(token))
    assert alice.is_in(WIKI)
    assert alice.is_in(HOME)


def test_a_site_behind_a_proxy_is_handed_over_alike(alice: Browser) -> None:
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Method": "GET", "X-Forwarded-Host": "docs.example.net"}
    seen = alice.visit(f"{DOCS}/sso/start?return_to=/guide")
    assert seen.way[-1] == f"{DOCS}/guide"
    assert told
    assert alice.session(DOCS)


def test_the_provider_is_asked_to_return_to_the_hand_over(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page", stop=LOGIN)
    (return_to,) = parse_qs(urlsplit(seen.url).query)["return_to"]
    assert return_to.startswith(f"{HOME}/sso/hand-over?site=wiki&state=")


def test_link_previews_spend_no_ticket(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page", stop="ticket=")
    assert alice.ask(seen.url, "HEAD").status == 200
    assert alice.visit(seen.url).is_reached


def test_a_browser_that_comes_from_a_form_of_the_provider_is_led_on_by_a_page(alice: Browser) -> None:
    """Browsers apply the form-action of the provider's page to each redirect after the form, and it names home only."""
    alice.visit(f"{WIKI}/page", stop=LOGIN)
    here = alice.sign_in_at_provider()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    location = alice.ask(here, headers=foreign).header("Location")
    answer = alice.ask(f"{HOME}{location}", headers=foreign)
    assert answer.status == 200
    assert answer.header("Cache-Control") == "no-store"
    link = unescape(answer.text.partition('content="0; url=')[2].partition('"')[0])
    assert link.startswith(f"{WIKI}/sso/land?ticket=")
    assert alice.visit(link).url == f"{WIKI}/page"
    again = alice.visit(f"{SHOP}/page", stop="hand-over").url
    assert alice.ask(again, headers=foreign).status == 303  # from the shop, without a form in between


def test_the_same_holds_for_a_page_of_a_site_that_a_sign_in_at_home_leads_to(alice: Browser) -> None:
    alice.visit(f"{HOME}/sso/start?return_to={WIKI}/page", stop=LOGIN)
    answer = alice.ask(alice.sign_in_at_provider(), headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200
    assert f'content="0; url={WIKI}/page"' in answer.text
    assert alice.visit(f"{WIKI}/page").is_reached
