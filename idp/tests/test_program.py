"""The program as a process: several workers, its demo, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from idp.tests.running import Program, Visitor, command, running
from idp.tests.support import ALICE, Cast, unverified


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Program]:
    """A demo with two workers, and Alice."""
    command(tmp_path, {}, "users", "add", ALICE.email, "--password-stdin", typed=f"{ALICE.password}\n")
    with running(tmp_path, {}, "--workers", "2") as program:
        yield program


def test_several_workers_share_sessions_and_counts(demo: Program) -> None:
    visitor = Visitor(demo.url)
    assert visitor.sign_in(ALICE).status == 303
    assert {visitor.open("/login-token/").status for _ in range(20)} == {303}

    wrong = Cast(ALICE.email, "a wrong password")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: Visitor(demo.url).sign_in(wrong).status, range(24)))
    assert sorted(set(statuses)) == [401, 429]
    assert statuses.count(401) == 10


def test_forty_sign_ins_at_once_give_forty_different_tokens(demo: Program) -> None:
    def sign_in(_: int) -> str:
        location = Visitor(demo.url).sign_in(ALICE).headers["Location"]
        return str(unverified(parse_qs(urlsplit(location).query)["jwt"][0])["jti"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(sign_in, range(40)))) == 40


def test_sigterm_ends_it_well(demo: Program) -> None:
    assert demo.stop() == 0
    assert "Traceback" not in demo.log.read_text()


def test_the_log_of_the_server_has_no_token(demo: Program) -> None:
    visitor = Visitor(demo.url)
    token = parse_qs(urlsplit(visitor.sign_in(ALICE).headers["Location"]).query)["jwt"][0]
    visitor.open(f"/logout?jwt={token}")
    demo.stop()
    log = demo.log.read_text()
    assert "/logout" in log
    assert token.split(".")[1] not in log
    assert ALICE.password not in log
