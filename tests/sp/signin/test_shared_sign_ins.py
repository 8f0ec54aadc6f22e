"""Sign-ins that meet on SQLite share a commit: a kill keeps all or none of them, and one that is refused harms none."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from lab.cast import MALLORY
from shared.errors import TokenReplayed
from sp.database.models import Account
from tests.flows.test_full_disk import fill, small_disk
from tests.sp.signin.test_transaction import EMPTY, PROVIDERS, Claims, Gate, at_once
from tests.support.gateway import core_of, make_gateway

__all__ = ["small_disk"]  # a fixture

TOGETHER = 8
SECONDS = 10  # at most, for what takes milliseconds


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(core_of(make_gateway(tmp_path, PROVIDERS)))
    yield gate
    gate.engine.dispose()


def as_one_group(gate: Gate) -> list[None]:
    """Let the first transaction wait until all are in the queue; the list that is returned counts the commits."""
    queue, begun = gate.core.database._shared._waiting, list[None]()  # type: ignore[union-attr]
    commits: list[None] = []

    def wait(connection: Any) -> None:
        if not connection.get_execution_options().get("write"):
            return
        deadline = time.monotonic() + SECONDS
        while not begun and len(queue) < TOGETHER:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        begun.append(None)

    def count(connection: Any) -> None:
        if connection.get_execution_options().get("write"):
            commits.append(None)

    event.listen(gate.engine, "begin", wait)
    event.listen(gate.engine, "commit", count)
    return commits


def people(gate: Gate) -> list[Claims]:
    return [gate.claims(sub=f"person-{number}", email=f"person-{number}@example.com") for number in range(TOGETHER)]


def sign_ins(gate: Gate, tokens: list[Claims]) -> list[Callable[[], object]]:
    return [lambda claims=claims: gate.sign_in(given=claims) for claims in tokens]  # type: ignore[misc]


@pytest.mark.parametrize(("moment", "kept"), [("before the commit", 0), ("after the commit", TOGETHER)])
def test_a_kill_of_a_group_keeps_all_or_none_of_it_and_spends_no_token_of_the_others(
    gate: Gate, moment: str, kept: int
) -> None:
    tokens = people(gate)
    gate.engine.dispose()  # a connection must not be shared with the child
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            commits = as_one_group(gate)

            def kill(*_: Any) -> None:
                if commits:
                    os.kill(os.getpid(), signal.SIGKILL)

            if moment == "before the commit":
                event.listen(gate.engine, "commit", kill)
            at_once([lambda each=each: kill(each()) for each in sign_ins(gate, tokens)])  # type: ignore[misc]
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert gate.rows() == dict.fromkeys(EMPTY, kept)
    again = Counter(at_once(sign_ins(gate, tokens)))
    assert again == Counter({"signed in": TOGETHER - kept, "token_replayed": kept})
    assert gate.rows() == dict.fromkeys(EMPTY, TOGETHER)


def test_of_a_group_those_who_are_refused_leave_no_trace_in_the_others(gate: Gate) -> None:
    gate.sign_in(sub="mallory", email=MALLORY.email)
    gate.sign_in(sub="bob", email="bob@example.com")
    with gate.engine.begin() as connection:
        connection.execute(update(Account).where(Account.email == "bob@example.com").values(is_active=False))
    before = gate.rows()
    tokens = people(gate)
    tokens[2] = gate.claims(sub="bob", email="bob@example.com")
    tokens[3] = gate.claims(sub="other", email=MALLORY.email)
    tokens[5] = tokens[4]
    commits = as_one_group(gate)
    outcomes = at_once(sign_ins(gate, tokens))
    refused = {"user_disabled": 1, "email_conflict": 1, "token_replayed": 1}
    assert Counter(outcomes) == {"signed in": TOGETHER - 3, **refused}
    assert len(commits) == 1
    assert gate.rows() == {table: number + TOGETHER - 3 for table, number in before.items()}
    gate.core.people.enable(gate.account("bob@example.com").id)
    gate.sign_in(given=tokens[2])  # it was not spent
    with pytest.raises(TokenReplayed):
        gate.sign_in(given=tokens[4])


def test_on_a_full_disk_those_who_are_told_so_are_signed_in_and_the_others_can_come_again(small_disk: Path) -> None:
    gate = Gate(core_of(make_gateway(small_disk / "gateway", PROVIDERS)))
    gate.sign_in()
    tokens: list[Claims] = []
    fill(small_disk / "filler")
    outcomes: Counter[str] = Counter()
    for _ in range(40):  # until the room that the files still have is used up
        tokens = people(gate)
        outcomes = Counter(at_once(sign_ins(gate, tokens)))
        if outcomes["store_unavailable"]:
            break
    (small_disk / "filler").unlink()
    rows = gate.rows()
    assert rows["session"] == rows["spent_token"] == rows["activity"]
    assert set(outcomes) <= {"signed in", "store_unavailable"}
    assert outcomes["store_unavailable"] > 0
    again = Counter(at_once(sign_ins(gate, tokens)))
    assert again == Counter({"signed in": outcomes["store_unavailable"], "token_replayed": outcomes["signed in"]})
    gate.engine.dispose()


def test_sixteen_threads_that_sign_in_many_times_lose_and_double_nothing(gate: Gate) -> None:
    tokens = [people(gate) for _ in range(4)]

    def sign_in_each(mine: list[Claims]) -> None:
        for claims in mine:
            with suppress(TokenReplayed):  # four threads send each token
                gate.sign_in(given=claims)

    threads = [threading.Thread(target=sign_in_each, args=(mine,)) for mine in tokens * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    rows = gate.rows()
    assert (rows["spent_token"], rows["session"], rows["activity"]) == (4 * TOGETHER,) * 3
    assert (rows["account"], rows["identity"]) == (TOGETHER, TOGETHER)
