"""The program as a process: several workers, its demo, and its end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from idp.tests.running import Answer, Program, Visitor, command, running
from idp.tests.support import ALICE, Cast, unverified


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Program]:
    """A demo with two workers, and Alice."""
    command(tmp_path, {}, "users", "add", ALICE.email, "--password-stdin", typed=f"{ALICE.password}\n")
    with running(tmp_path, {}, "--workers", "2") as program:
        yield program


def test_several_workers_share_sessions_and_counts(demo: Program) -> None:
    visitor = Visitor(demo.url)
    assert posted_token(visitor.sign_in(ALICE))
    assert len({posted_token(visitor.open("/login-token/")) for _ in range(20)}) == 20

    wrong = Cast(ALICE.email, "a wrong password")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: Visitor(demo.url).sign_in(wrong).status, range(24)))
    assert sorted(set(statuses)) == [401, 429]
    assert statuses.count(401) == 10


def test_forty_sign_ins_at_once_give_forty_different_tokens(demo: Program) -> None:
    def sign_in(_: int) -> str:
        return str(unverified(posted_token(Visitor(demo.url).sign_in(ALICE)))["jti"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(sign_in, range(40)))) == 40


def test_sigterm_ends_it_well(demo: Program) -> None:
    assert demo.stop() == 0
    assert "Traceback" not in demo.log.read_text()


def test_the_log_of_the_server_has_no_token(demo: Program) -> None:
    visitor = Visitor(demo.url)
    token = posted_token(visitor.sign_in(ALICE))
    visitor.open(f"/logout?jwt={token}")
    demo.stop()
    log = demo.log.read_text()
    assert "/logout" in log
    assert token.split(".")[1] not in log
    assert ALICE.password not in log


def posted_token(answer: Answer) -> str:
    """Return the token in the form that the demo posts to the gateway."""
    found = re.search(r'name="jwt" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]
