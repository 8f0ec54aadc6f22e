"""What happens at the same moment: a family is ended from several sides, and sessions are opened in it meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text

from lab.cast import ALICE
from shared.errors import TicketInvalid
from sp.activity.record import Visitor
from sp.sessions.store import hash_id
from sp.sites.landing import SiteArrival
from sp.sites.tickets import SiteTicket
from tests.sp.gateway.gate import Gate
from tests.sp.sites.browser import make_node
from tests.support.stores import PostgreSQL

ROUNDS = 25
SITES = ("wiki", "shop", "docs")


@pytest.fixture(params=["sqlite", "postgresql"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    """A node on each kind of database."""
    settings: dict[str, Any] = {}
    if request.param == "postgresql":
        postgresql: PostgreSQL = request.getfixturevalue("postgresql")
        settings = {"SP_DATABASE_URL": postgresql.create_database()}
    made = make_node(tmp_path, **settings)
    yield made
    made.core.database.engine.dispose()


def all_at_once(actions: list[Callable[[], object]]) -> None:
    """Run *actions* at the same moment. An exception of one of them fails the test."""
    ready = Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        ready.wait()
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for work in [pool.submit(run, action) for action in actions]:
            work.result()


def alive(gate: Gate) -> list[bytes]:
    with gate.core.database.engine.connect() as connection:
        hashes = connection.execute(text("SELECT id_hash FROM session")).scalars().all()
    return [id_hash for id_hash in hashes if gate.core.sessions.find_by_hash(id_hash) is not None]


def land(gate: Gate, home: str, number: int, replacing: bytes | None = None) -> None:
    ticket = SiteTicket("wiki", "s" * 43, hash_id(home), f"{home}{number}", int(time.time()))
    with suppress(TicketInvalid):  # the family had ended before
        gate.core.site_landing.enter(SiteArrival(ticket, Visitor(), f"R{time.perf_counter_ns()}"[:16], "/", replacing))


def test_attack_a_family_is_ended_from_several_sides_while_sessions_are_opened_in_it(gate: Gate) -> None:
    """Nothing fails, nothing waits for each other for ever, and nothing is left alive."""
    sessions, account = gate.core.sessions, gate.person(ALICE)
    for number in range(ROUNDS):
        home = gate.sign_in(ALICE)
        at_sites = {site: gate.sign_in(ALICE, site=site, home=home) for site in SITES}
        all_at_once(
            [
                lambda home=home: sessions.end(id_hash=hash_id(home)),  # type: ignore[misc]
                lambda at=at_sites: sessions.end(id_hash=hash_id(at["wiki"])),  # type: ignore[misc]
                lambda at=at_sites: sessions.end(id_hash=hash_id(at["shop"])),  # type: ignore[misc]
                lambda: sessions.end(account_id=account),
                lambda home=home, n=number: land(gate, home, n),  # type: ignore[misc]
                lambda home=home, n=number, at=at_sites: land(gate, home, n + 1000, hash_id(at["wiki"])),  # type: ignore[misc]
                lambda at=at_sites: sessions.find(at["docs"]),  # type: ignore[misc]
            ]
        )
        assert alive(gate) == []
        assert gate.core.session_finder.list_of(account) == []


def test_attack_an_account_is_disabled_while_its_browser_is_handed_over(gate: Gate) -> None:
    account = gate.person(ALICE)
    for number in range(ROUNDS):
        home = gate.sign_in(ALICE)
        all_at_once(
            [
                lambda: gate.core.people.disable(account),
                lambda home=home, n=number: land(gate, home, n),  # type: ignore[misc]
                lambda home=home, n=number: land(gate, home, n + 1000),  # type: ignore[misc]
            ]
        )
        gate.core.people.enable(account)  # not only as long as it is disabled
        assert alive(gate) == []
