"""What an attacker tries at a hand-over. Each test was seen to fail with its guard taken out."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import MetaData, text

from lab.cast import ALICE, MALLORY
from shared import clock
from sp.redirects import MAX_LENGTH
from sp.request.trusted_proxies import OwnHost
from sp.sessions.store import hash_id
from sp.sites.tickets import AHEAD, LIFETIME, SiteTickets
from tests.sp.gateway.gate import SCRIPT, Answer, Gate
from tests.sp.sites.browser import HOME, SHOP, WIKI, Browser, make_node
from tests.support.stores import PostgreSQL, Redis


@contextmanager
def moved(seconds: float) -> Iterator[None]:
    """Move the clock of the gateway forward."""
    clock.ahead += seconds
    try:
        yield
    finally:
        clock.ahead -= seconds


def ticket_url(browser: Browser, site: str = WIKI) -> str:
    """Begin at *site*, and return the URL with the ticket, which the browser has not opened."""
    return browser.visit(f"{site}/page", stop="ticket=").url


def is_refused(answer: Answer) -> bool:
    """Tell whether the answer is the refusal of a ticket, and opens nothing."""
    assert not [value for name, value in answer.headers if name == "Set-Cookie" and "sp_session" in value]
    assert answer.status == 303, answer.status
    return parse_qs(urlsplit(str(answer.header("Location"))).query)["code"] == ["ticket_invalid"]


def sessions_at_sites(gate: Gate) -> int:
    with gate.core.database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM session WHERE site IS NOT NULL")).scalar_one())


# Tickets


def test_attack_a_stolen_ticket_is_used_in_another_browser(alice: Browser) -> None:
    url = ticket_url(alice)
    mallory = Browser(alice.nodes, MALLORY.email)
    assert is_refused(mallory.ask(url))
    mallory.visit(f"{WIKI}/page")
    assert is_refused(mallory.ask(url))  # also not in a browser that began a hand-over itself, and is signed in
    assert alice.visit(url).is_reached  # the thief's tries do not spend it


def test_attack_a_ticket_of_one_site_is_used_at_another(alice: Browser) -> None:
    url = ticket_url(alice)
    ticket_url(alice, SHOP)
    assert is_refused(alice.ask(url.replace(WIKI, SHOP)))
    assert is_refused(alice.ask(url.replace(WIKI, HOME)))
    assert alice.visit(url).is_reached


def test_attack_a_ticket_of_one_site_answers_what_was_begun_at_another(alice: Browser) -> None:
    """The state is of the shop, but home was asked for a ticket for the wiki."""
    begun = alice.visit(f"{SHOP}/page", stop="hand-over").url
    url = alice.visit(begun.replace("site=shop", "site=wiki"), stop="ticket=").url
    assert url.startswith(WIKI)
    assert is_refused(alice.ask(url))
    assert is_refused(alice.ask(url.replace(WIKI, SHOP)))


def test_attack_a_ticket_of_one_site_is_used_at_another_on_the_same_host(tmp_path: Path) -> None:
    """Browsers send the cookies of a hand-over to every port of a host, so the cookie names its site too."""
    one, other = "https://apps.example.org:8001", "https://apps.example.org:8002"
    file = "".join(f'[sites.{n}]\nurl = "{u}"\napp = "{n}:app"\n' for n, u in (("one", one), ("other", other)))
    gate = make_node(tmp_path, file=file)
    alice = Browser([gate], ALICE.email)
    url = ticket_url(alice, one)
    assert is_refused(alice.ask(url.replace(one, other)))
    state = parse_qs(urlsplit(alice.visit(f"{one}/page", stop="hand-over").url).query)["state"][0]
    ticket = gate.core.tickets.issue("other", state, hash_id(str(alice.session(HOME))), int(time.time()))
    assert is_refused(alice.ask(f"{other}/sso/land?ticket={ticket}"))


def test_attack_a_ticket_is_used_twice(alice: Browser) -> None:
    url = ticket_url(alice)
    jar = dict(alice.jars["wiki.example.org"])
    assert alice.visit(url).is_reached
    alice.jars["wiki.example.org"].update(jar)  # the cookie of the hand-over, which the landing has deleted
    assert is_refused(alice.ask(url))
    assert sessions_at_sites(alice.nodes[0]) == 1


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def two_nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Gate]]:
    """Two nodes on each kind of store."""
    settings: dict[str, Any] = {}
    if request.param == "postgresql":
        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        settings = {"SP_DATABASE_URL": postgresql.create_database()}
    if request.param == "redis":
        redis_server: Redis = request.getfixturevalue("redis_server")
        settings = {"SP_REPLAY_URL": redis_server.url}
    nodes = [make_node(tmp_path, **settings), make_node(tmp_path, **settings)]
    yield nodes
    for gate in nodes:
        gate.core.database.engine.dispose()


def test_attack_a_ticket_is_used_at_the_same_moment_on_two_nodes(two_nodes: list[Gate]) -> None:
    """Exactly one of them opens a session."""
    alice = Browser(two_nodes, ALICE.email)
    for _ in range(5):
        url = ticket_url(alice)
        before = sessions_at_sites(two_nodes[0])
        copies = [Browser([two_nodes[n % 2]], ALICE.email) for n in range(8)]
        for copy in copies:
            copy.jars = {host: dict(jar) for host, jar in alice.jars.items()}
        ready = Barrier(len(copies))

        def send(copy: Browser, url: str = url, ready: Barrier = ready) -> Answer:
            ready.wait()
            return copy.ask(url)

        with ThreadPoolExecutor(len(copies)) as pool:
            answers = list(pool.map(send, copies))
        opened = [answer for answer in answers if answer.header("Location") == "/page"]
        assert len(opened) == 1
        assert all(is_refused(answer) for answer in answers if answer not in opened)
        assert sessions_at_sites(two_nodes[0]) - before == 1


def test_attack_a_copy_of_the_database_has_no_access_token(tmp_path: Path) -> None:
    """With access_token_delivery = "query" the token is in the query of the page that a browser is handed over for."""
    gate = make_node(tmp_path, provider={"access_token_delivery": "query", "return_url": f"{WIKI}/page"})
    alice = Browser([gate], ALICE.email)
    (token,) = parse_qs(urlsplit(alice.visit(f"{HOME}/sso/start").url).query)["access_token"]
    assert sessions_at_sites(gate) == 1
    with gate.core.database.engine.connect() as connection:
        (everything := MetaData()).reflect(connection)
        for table in everything.sorted_tables:
            assert token not in str(connection.execute(table.select()).all()), table.name


def test_attack_a_ticket_is_used_after_its_minute(alice: Browser) -> None:
    url = ticket_url(alice)
    with moved(LIFETIME + 1):
        assert is_refused(alice.ask(url))
    url = ticket_url(alice)
    with moved(LIFETIME - 1):
        assert alice.ask(url).header("Location") == "/page"


def test_attack_a_ticket_is_from_the_future(alice: Browser) -> None:
    """The clocks of two nodes may differ a little, but no ticket is good for longer than that allows."""
    url = ticket_url(alice)
    with moved(-AHEAD - 1):
        assert is_refused(alice.ask(url))
    with moved(-AHEAD + 1):
        assert alice.ask(url).header("Location") == "/page"


def test_attack_a_ticket_is_used_after_the_session_at_home_has_ended(alice: Browser) -> None:
    alice.visit(f"{HOME}/page")
    url = ticket_url(alice)
    alice.sign_out(HOME)
    assert is_refused(alice.ask(url))
    assert sessions_at_sites(alice.nodes[0]) == 0


def test_attack_a_ticket_is_used_after_the_account_was_disabled(alice: Browser) -> None:
    url = ticket_url(alice)
    with alice.nodes[0].core.database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_active = false"))
    assert is_refused(alice.ask(url))


def test_attack_a_ticket_names_a_session_that_is_none_at_home(alice: Browser) -> None:
    """A session at a site opens no other one: the family has one head."""
    alice.visit(f"{SHOP}/page")
    gate = alice.nodes[0]
    state = parse_qs(urlsplit(alice.visit(f"{WIKI}/page", stop="hand-over").url).query)["state"][0]
    ticket = gate.core.tickets.issue("wiki", state, hash_id(str(alice.session(SHOP))), int(time.time()))
    assert is_refused(alice.ask(f"{WIKI}/sso/land?ticket={ticket}"))


def forged(good: str) -> dict[str, str]:
    now = int(time.time())
    other_key = SiteTickets(["x" * 48]).issue("wiki", "s" * 43, b"h" * 32, now)
    return {
        "none": "",
        "garbage": "garbage",
        "cut off": good[:-10],
        "changed": good[:50] + ("A" if good[50] != "A" else "B") + good[51:],
        "of another gateway": other_key,
        "huge": good + "A" * 6000,
        "not ASCII": "%C3%A9" * 20,
        "zero": "%00",
    }


def test_attack_a_ticket_is_forged(alice: Browser) -> None:
    good = parse_qs(urlsplit(ticket_url(alice)).query)["ticket"][0]
    for name, ticket in forged(good).items():
        assert is_refused(alice.ask(f"{WIKI}/sso/land?ticket={ticket}")), name


def test_attack_what_the_gateway_encrypted_for_another_purpose_is_used_as_a_ticket(alice: Browser) -> None:
    alice.visit(f"{HOME}/page")
    state = parse_qs(urlsplit(alice.visit(f"{WIKI}/page", stop="hand-over").url).query)["state"][0]
    content = ["wiki", state, hash_id(str(alice.session(HOME))).hex(), "id", int(time.time())]
    sealed = alice.nodes[0].core.vault.encrypt(json.dumps(content))
    assert is_refused(alice.ask(f"{WIKI}/sso/land?ticket={sealed}"))


def test_a_ticket_that_an_older_secret_key_encrypted_is_good_during_a_rotation() -> None:
    ticket = SiteTickets(["o" * 48]).issue("wiki", "s" * 43, b"h" * 32, 1000)
    assert SiteTickets(["n" * 48, "o" * 48]).open(ticket, "wiki", 1001).home == b"h" * 32


def test_a_program_is_told_the_code_and_a_person_what_to_do(alice: Browser) -> None:
    answer = alice.ask(f"{WIKI}/sso/land?ticket=x", headers={"Accept": "application/json"})
    assert (answer.status, answer.json["error"]) == (401, "ticket_invalid")
    assert "Set-Cookie" not in dict(answer.headers)
    seen = alice.visit(f"{WIKI}/sso/land?ticket=x")
    assert (seen.answer.status, seen.code) == (401, "ticket_invalid")
    assert seen.url.startswith(f"{WIKI}/")
    assert 'href="/sso/start?return_to=/"' in seen.answer.text
    assert f'href="{HOME}/login?' in seen.answer.text


def test_refused_tickets_are_in_the_activity_log_without_the_ticket(alice: Browser) -> None:
    url = ticket_url(alice)
    Browser(alice.nodes, MALLORY.email).ask(url)
    with alice.nodes[0].core.database.reading() as connection:
        line = connection.execute(text("SELECT event, code, detail FROM activity ORDER BY id DESC")).first()
    assert line is not None
    assert (line.event, line.code) == ("refused", "ticket_invalid")
    assert "did not begin" in line.detail
    assert url.partition("ticket=")[2][:20] not in line.detail


# Links that an attacker plants


def test_attack_a_planted_ticket_link_signs_nobody_in(alice: Browser) -> None:
    """Mallory sends a link with a ticket for her own account. Alice's browser did not begin that."""
    mallory = Browser(alice.nodes, MALLORY.email)
    url = ticket_url(mallory)
    assert is_refused(alice.ask(url))
    ticket_url(alice)  # also not while she has begun a hand-over herself
    assert is_refused(alice.ask(url))


def test_attack_a_planted_hand_over_link_gives_its_sender_nothing(alice: Browser) -> None:
    """Mallory begins at a site, and sends Alice the URL at home. The ticket for it is good in Mallory's browser only,
    and Alice's browser takes it nowhere else than to the site."""
    mallory = Browser(alice.nodes, MALLORY.email)
    planted = mallory.visit(f"{WIKI}/page", stop="hand-over").url
    alice.visit(f"{HOME}/page")
    seen = alice.visit(planted, stop="ticket=")
    assert seen.url.startswith(f"{WIKI}/sso/land?ticket=")
    assert is_refused(alice.ask(seen.url))
    assert not alice.is_in(WIKI)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "site=wiki",
        "site=evil&state=" + "s" * 43,
        "site=home&state=" + "s" * 43,
        "site=wiki&state=" + "s" * 42,
        "site=wiki&state=" + "s" * 44,
        "site=wiki&state=" + "s" * 42 + "%0A",
        "site=https://evil.example&state=" + "s" * 43,
    ],
)
def test_attack_home_hands_over_to_listed_sites_only(alice: Browser, query: str) -> None:
    alice.visit(f"{HOME}/page")
    assert is_refused(alice.ask(f"{HOME}/sso/hand-over?{query}"))


@pytest.mark.parametrize(("dest", "mode"), [("iframe", "navigate"), ("image", "no-cors"), ("empty", "cors")])
def test_attack_a_frame_or_an_image_begins_a_hand_over(alice: Browser, dest: str, mode: str) -> None:
    alice.visit(f"{HOME}/page")
    for url in (f"{WIKI}/sso/start?return_to=/page", f"{HOME}/sso/hand-over?site=wiki&state={'s' * 43}"):
        answer = alice.ask(url, headers={"Sec-Fetch-Dest": dest, "Sec-Fetch-Mode": mode})
        assert answer.status == 400
        assert not [value for name, value in answer.headers if name == "Set-Cookie"]


# Cookies


def test_attack_a_site_plants_its_session_cookie_for_the_whole_domain(tmp_path: Path) -> None:
    """Over http an application can set a cookie for its domain. It is a session of another site, or one of two."""
    home, wiki, blog = "http://login.example.org", "http://wiki.example.org", "http://blog.example.org"
    file = f'[sites.wiki]\nurl = "{wiki}"\napp = "w:app"\n[sites.blog]\nurl = "{blog}"\napp = "b:app"\n'
    gate = make_node(tmp_path, file=file, SP_EXTERNAL_URL=home)
    alice, mallory = (Browser([gate], person.email, home=home) for person in (ALICE, MALLORY))
    mallory.visit(f"{wiki}/page")
    alice.planted.append(("example.org", "sp_session", str(mallory.session(wiki))))
    for site in (home, blog):
        assert not alice.is_in(site)
    own = Browser([gate], ALICE.email, home=home)  # signed in before the cookie was planted: two values, so none counts
    own.visit(f"{blog}/page")
    own.planted = alice.planted
    for site in (home, blog):
        assert not own.is_in(site)


def test_attack_a_site_plants_the_cookie_of_a_hand_over_for_another_site(tmp_path: Path) -> None:
    """A hand-over that Mallory began at the site of her application does not count at another one."""
    home, wiki, blog = "http://login.example.org", "http://wiki.example.org", "http://blog.example.org"
    file = f'[sites.wiki]\nurl = "{wiki}"\napp = "w:app"\n[sites.blog]\nurl = "{blog}"\napp = "b:app"\n'
    gate = make_node(tmp_path, file=file, SP_EXTERNAL_URL=home)
    mallory, alice = Browser([gate], MALLORY.email, home=home), Browser([gate], ALICE.email, home=home)
    url = mallory.visit(f"{wiki}/page", stop="ticket=").url
    (planted,) = [(n, v) for n, v in mallory.jars["wiki.example.org"].items() if n.startswith("sp_pending_site_")]
    alice.planted.append(("example.org", *planted))
    assert is_refused(alice.ask(url.replace(wiki, blog)))
    state = parse_qs(urlsplit(mallory.visit(f"{wiki}/page", stop="hand-over").url).query)["state"][0]
    assert gate.core.hand_overs.answered(dict([planted]), "blog", state) is None


def test_attack_many_hand_overs_fill_the_browser(alice: Browser) -> None:
    """Cookies are limited per browser, because servers reject requests with large headers."""
    for _ in range(12):
        alice.ask(f"{WIKI}/sso/start?return_to=/{'x' * (MAX_LENGTH - 10)}")
    assert len(alice.cookie("wiki.example.org")) < 9000
    for _ in range(12):
        alice.ask(f"{WIKI}/sso/start?return_to=/page")
    assert len([name for name in alice.jars["wiki.example.org"] if "pending" in name]) <= 5


def test_attack_a_hand_over_is_answered_after_an_hour(alice: Browser) -> None:
    seen = alice.visit(f"{WIKI}/page", stop="hand-over")
    with moved(3601):
        url = alice.visit(seen.url, stop="ticket=").url
        assert is_refused(alice.ask(url))


# Sites that change


def test_attack_a_site_that_was_removed_goes_on(tmp_path: Path) -> None:
    gate = make_node(tmp_path)
    alice = Browser([gate], ALICE.email)
    alice.visit(f"{WIKI}/page")
    url = ticket_url(alice, SHOP)
    begun = alice.visit(f"{WIKI}/sso/start?return_to=/page", stop="hand-over").url
    remaining = tuple(site for site in gate.core.rulebook.current.sites if site.name not in ("wiki", "shop"))
    gate.core.rulebook.current = type(gate.core.rulebook.current).of(remaining, host_of(gate))
    for site in (WIKI, SHOP):
        assert alice.ask(f"{site}/page").status == 400
        assert alice.ask(f"{site}/sso/start?return_to=/page").status == 400
    assert alice.ask(url).status == 400
    assert is_refused(alice.ask(begun))
    landed = alice.visit(f"{HOME}/sso/start?return_to={WIKI}/page")
    assert landed.url.startswith(f"{HOME}/")


def test_attack_the_page_of_a_pending_sign_in_is_on_a_site_that_was_removed_meanwhile(tmp_path: Path) -> None:
    gate = make_node(tmp_path)
    alice = Browser([gate], ALICE.email)
    at_provider = alice.visit(f"{HOME}/sso/start?return_to={WIKI}/page", stop="idp.example").url
    gate.core.rulebook.current = type(gate.core.rulebook.current).of(
        tuple(site for site in gate.core.rulebook.current.sites if site.name != "wiki"), host_of(gate)
    )
    assert alice.visit(at_provider).url == f"{HOME}/"


def host_of(gate: Gate) -> OwnHost:
    return OwnHost(gate.core.config.external_url)


def test_attack_a_script_is_not_led_through_a_hand_over(alice: Browser) -> None:
    answer = alice.nodes[0].ask("/page", headers={**SCRIPT, "Host": urlsplit(WIKI).netloc})
    assert (answer.status, answer.json["sign_in_url"]) == (401, f"{WIKI}/sso/start?return_to=%2F")
