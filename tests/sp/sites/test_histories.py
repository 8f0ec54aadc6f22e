"""Histories: random sequences of what people, administrators, providers and attackers do, on two nodes.

After each step: no session outlives its family, and none was opened in a browser that did not begin its sign-in.
`HISTORIES=2000 pytest tests/sp/sites/test_histories.py` tries that many; an ordinary run tries a few.
"""

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from lab.cast import ALICE, MALLORY
from lab.minting import mint
from shared import clock
from sp.request.trusted_proxies import OwnHost
from sp.sessions.store import hash_id
from sp.sites.in_force import InForce
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import DOCS, HOME, KEY, SHOP, WIKI, Browser, make_node

HISTORIES = int(os.environ.get("HISTORIES", "20"))
STEPS = 25
URLS = {"home": HOME, "wiki": WIKI, "shop": SHOP, "docs": DOCS}
FURTHER = ("wiki", "shop")
BROWSERS = {"alice's phone": ALICE.email, "alice's laptop": ALICE.email, "mallory's": MALLORY.email}
EMPTIED = ("session", "spent_token", "held_token", "activity", "identity", "account", "margin")
LOGOUT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}

who = st.sampled_from(sorted(BROWSERS))
site_names = st.sampled_from(FURTHER)
places = st.sampled_from(["home", *FURTHER])
people = st.sampled_from([ALICE.email, MALLORY.email])
nodes_or_all = st.sampled_from([(0,), (1,), (0, 1)])


@dataclass
class Person:
    """A browser, what it has begun, and the ids of all sessions that it was ever given."""

    browser: Browser
    begun: set[str] = field(default_factory=set)
    given: set[bytes] = field(default_factory=set)

    def note(self) -> None:
        self.given |= {
            hash_id(value) for jar in self.browser.jars.values() for n, value in jar.items() if "session" in n
        }


class Histories(RuleBasedStateMachine):
    """Two nodes, three browsers of two people, home and two sites."""

    nodes: list[Gate]
    whole: InForce
    tickets = Bundle("tickets")
    hand_overs = Bundle("hand_overs")

    def __init__(self) -> None:
        super().__init__()
        clock.ahead = 0.0
        with self.nodes[0].core.database.engine.begin() as connection:
            for table in EMPTIED:
                connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
        for node in self.nodes:
            node.core.rulebook.current = self.whole
        self.people = {name: Person(Browser(self.nodes, email)) for name, email in BROWSERS.items()}
        self.known: set[bytes] = set()
        self.ended: set[bytes] = set()  # heads of families
        self.acting = ""

    def teardown(self) -> None:
        clock.ahead = 0.0

    # What people do

    @initialize(name=who, place=site_names)
    def a_history_begins_at_a_site(self, name: str, place: str) -> None:
        self.opens_a_page(name=name, place=place)

    @rule(name=who, place=places)
    def opens_a_page(self, name: str, place: str) -> None:
        person = self._act(name, place)
        seen = person.browser.visit(f"{URLS[place]}/page")
        if self._is_everywhere(place) and self._is_active(person.browser.email):
            assert seen.is_reached, seen.way

    @rule(target=tickets, name=who, site=site_names)
    def begins_and_stops_before_landing(self, name: str, site: str) -> tuple[str, str]:
        person = self._act(name, site)
        return name, person.browser.visit(f"{URLS[site]}/sso/start?return_to=/page", stop="ticket=").url

    @rule(target=hand_overs, name=who, site=site_names)
    def begins_and_stops_before_home(self, name: str, site: str) -> tuple[str, str]:
        person = self._act(name, site)
        return name, person.browser.visit(f"{URLS[site]}/sso/start?return_to=/page", stop="hand-over").url

    @rule(name=who, link=tickets, site=st.sampled_from([None, *FURTHER]))
    def opens_a_link_with_a_ticket(self, name: str, link: tuple[str, str], site: str | None) -> None:
        """In the browser where it was begun or in another, at its site or at another, for the first time or not."""
        owner, url = link
        self._act(name)
        if "ticket=" not in url:
            return  # the site was removed, so there was none
        if site is not None:
            url = f"{URLS[site]}{url.removeprefix(_origin(url))}"
        before = self._rows()
        self.people[name].browser.visit(url)
        if owner != name:
            self._opened_nothing_at_a_site(before)

    @rule(name=who, link=hand_overs)
    def opens_a_link_to_a_hand_over(self, name: str, link: tuple[str, str]) -> None:
        owner, url = link
        self._act(name)
        if "/sso/hand-over" not in url:
            return
        before = self._rows()
        self.people[name].browser.visit(url)
        if owner != name:
            self._opened_nothing_at_a_site(before)

    @rule(name=who, place=places)
    def signs_out(self, name: str, place: str) -> None:
        """At *place*, or where the browser is signed in."""
        person = self._act(name)
        signed_in = [one for one in (place, *URLS) if self._is_everywhere(one) and self._has_session(person, one)]
        if signed_in:
            head = self._head_of(str(person.browser.session(URLS[signed_in[0]])))
            person.browser.sign_out(URLS[signed_in[0]])
            self._has_ended([head])

    # What administrators, providers and time do

    @rule(email=people, ending=st.sampled_from(["sign out", "disable", "disable and enable", "provider", "lose rows"]))
    def somebody_else_ends_sessions(self, email: str, ending: str) -> None:
        if (account := self._account(email)) is None:
            return
        heads = self._heads_of(account)
        if ending == "sign out":
            self.nodes[0].core.people.sign_out(account)
        elif ending == "provider":
            self._sign_out_at_provider(email)
        elif ending == "lose rows":
            # As if a sign-out and a landing had happened at the same moment: rows of sites are left behind.
            with self.nodes[0].core.database.engine.begin() as connection:
                connection.execute(text("DELETE FROM session WHERE account_id = :id AND site IS NULL"), {"id": account})
            self.ended |= set(heads)
            return
        else:
            self.nodes[1].core.people.disable(account)
        if ending == "disable and enable":
            self.nodes[0].core.people.enable(account)
        self._has_ended(heads)

    @rule(email=people)
    def an_administrator_enables(self, email: str) -> None:
        if (account := self._account(email)) is not None:
            self.nodes[0].core.people.enable(account)

    @rule(removed=st.sampled_from([None, *FURTHER]), where=nodes_or_all)
    def the_sites_change(self, removed: str | None, where: tuple[int, ...]) -> None:
        for number in where:
            book = self.nodes[number].core.rulebook
            book.current = self.whole if removed is None else _without(book.current, removed)

    @rule(seconds=st.sampled_from([5, 61, 1800, 3700]))
    def time_passes(self, seconds: int) -> None:
        clock.ahead += seconds

    # What always holds

    @invariant()
    def no_session_outlives_its_family(self) -> None:
        for row in self._rows().values():
            head = row.opened_with or row.id_hash
            for node in self.nodes:
                # The head first: it may run out between the two, and what was asked later must not be alive for longer.
                has_head = node.core.sessions.find_by_hash(head, is_use=False) is not None
                if node.core.sessions.find_by_hash(row.id_hash, is_use=False) is not None:
                    assert has_head
                    assert head not in self.ended

    @invariant()
    def no_session_opens_without_a_browser_that_began_it(self) -> None:
        rows = self._rows()
        for person in self.people.values():
            person.note()
        for id_hash in rows.keys() - self.known:
            row, person = rows[id_hash], self.people[self.acting]
            assert id_hash in person.given
            assert row.email == person.browser.email
            if row.site is not None:
                assert row.site in person.begun
                assert row.opened_with in person.given
        self.known |= rows.keys()

    # The parts

    def _act(self, name: str, begins_at: str = "home") -> Person:
        clock.ahead += 11  # later than what is remembered of landings, so that no step looks like a redirect loop
        self.acting = name
        self.people[name].begun.add(begins_at)
        return self.people[name]

    def _rows(self) -> dict[bytes, Any]:
        query = "SELECT s.id_hash, s.opened_with, s.site, a.email FROM session s JOIN account a ON a.id = s.account_id"
        with self.nodes[0].core.database.engine.connect() as connection:
            return {row.id_hash: row for row in connection.execute(text(query))}

    def _opened_nothing_at_a_site(self, before: dict[bytes, Any]) -> None:
        assert not [row for id_hash, row in self._rows().items() if id_hash not in before and row.site is not None]

    def _sign_out_at_provider(self, email: str) -> None:
        now = int(clock.time_now())
        claims = {"iat": now, "exp": now + 60, "jti": secrets.token_hex(16), "aud": HOME, "events": LOGOUT}
        claims |= {"iss": "https://idp.example", "email": email}
        token = mint(claims, KEY, {"alg": "HS256", "typ": "logout+jwt"})
        form = {"Content-Type": "application/x-www-form-urlencoded", "Host": urlsplit(HOME).netloc}
        body = urlencode({"logout_token": token}).encode()
        answer = self.nodes[0].ask("/sso/logout/backchannel", "POST", form, body=body)
        assert answer.status == 200, answer.text

    def _has_session(self, person: Person, place: str) -> bool:
        secret = person.browser.session(URLS[place])
        return secret is not None and self.nodes[0].core.sessions.find(secret) is not None

    def _head_of(self, secret: str) -> bytes:
        row = self._rows().get(hash_id(secret))
        return (row.opened_with or row.id_hash) if row is not None else hash_id(secret)

    def _account(self, email: str) -> int | None:
        person = self.nodes[0].core.people.find(email)
        return person.id if person is not None else None

    def _is_active(self, email: str) -> bool:
        person = self.nodes[0].core.people.find(email)
        return person is None or person.is_active

    def _heads_of(self, account: int) -> list[bytes]:
        query = "SELECT id_hash FROM session WHERE account_id = :id AND site IS NULL"
        with self.nodes[0].core.database.engine.connect() as connection:
            return list(connection.execute(text(query), {"id": account}).scalars())

    def _has_ended(self, heads: Sequence[bytes | None]) -> None:
        ended = {head for head in heads if head is not None}
        self.ended |= ended
        assert not [row for row in self._rows().values() if (row.opened_with or row.id_hash) in ended]

    def _is_everywhere(self, place: str) -> bool:
        return all(node.core.rulebook.current.named(place) is not None for node in self.nodes)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _without(current: InForce, site: str) -> InForce:
    return InForce.of([one for one in current.sites if one.name != site], OwnHost(HOME))


def test_no_history_opens_or_keeps_a_session_that_it_should_not(tmp_path: Path) -> None:
    provider = {"issuer": {"expected": "https://idp.example", "match": True}}
    nodes = [make_node(tmp_path, provider=provider), make_node(tmp_path, provider=provider)]
    Histories.nodes, Histories.whole = nodes, nodes[0].core.rulebook.current
    began = time.perf_counter()
    try:
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=HISTORIES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        clock.ahead = 0.0
        for node in nodes:
            node.core.housekeeping.finish()
            node.core.database.engine.dispose()
    print(f"{HISTORIES} histories of at most {STEPS} steps in {time.perf_counter() - began:.0f} s")
