"""Identity providers that share a PostgreSQL database: one session on all nodes, and races without effect."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from lab.cast import ALICE
from lab.pair import program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram, flask_command
from tests.support.stores import PgBouncer, PostgreSQL

pytestmark = pytest.mark.cluster

SERVICES = 6
AT_ONCE = 8
Nodes = list[RunningProgram]


@pytest.fixture(params=["directly", "through a pooler"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path, postgresql: PostgreSQL) -> Iterator[Nodes]:
    """Two nodes with two workers each, and Alice."""
    database = postgresql.create_database()
    if request.param != "directly":
        pooler: PgBouncer = request.getfixturevalue("pgbouncer")
        database = pooler.through(database)
    services = "".join(
        table(f"services.s{number}", {"preset": "lychgate", "return_url": f"http://127.0.0.1:9/{number}", "keys": []})
        for number in range(SERVICES)
    )
    env = program_environment("IDP", tmp_path, "http://127.0.0.1:5001", services)
    env["IDP_DATABASE_URL"] = database
    typed = f"{ALICE.password}\n"
    flask_command("idp", "users", "add", ALICE.email, "--password-stdin", env=env, folder=tmp_path, typed=typed)
    with ExitStack() as stack:
        ports = free_port(), free_port()
        workers = ["--workers", "2"]
        yield [stack.enter_context(RunningProgram("run_idp.py", port, tmp_path, env, workers)) for port in ports]


def test_tokens_asked_for_at_the_same_moment_are_all_issued_and_name_one_session_for_each_service(
    nodes: Nodes,
) -> None:
    alice = sign_in(nodes[0])
    asked = [(nodes[number % 2], f"s{number % SERVICES}") for number in range(SERVICES * AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        answers = list(at_once.map(lambda one: ask(one[0], one[1], alice), asked))
    assert [answer.status_code for answer in answers] == [303] * len(asked)
    assert not any("Traceback" in node.log for node in nodes)


def test_a_sign_out_in_the_middle_of_it_ends_in_tokens_or_forms_and_in_nothing_else(nodes: Nodes) -> None:
    alice = sign_in(nodes[0])
    asked = [(nodes[number % 2], f"s{number % SERVICES}") for number in range(SERVICES * AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE + 1) as at_once:
        answers = [at_once.submit(ask, node, service, alice) for node, service in asked]
        left = at_once.submit(sign_out, nodes[1], alice)
        statuses = {answer.result().status_code for answer in answers}
        assert left.result().status_code == 200
    assert statuses <= {200, 303}
    assert ask(nodes[0], "s0", alice).status_code == 200  # the form
    assert not any("Traceback" in node.log for node in nodes)


def sign_in(node: RunningProgram) -> dict[str, str]:
    """Sign Alice in; return the cookies of her browser."""
    with httpx.Client(base_url=node.url, trust_env=False) as browser:
        page = browser.get("/login-token/?service=s0")
        typed = {"csrf_token": hidden_field(page), "email": ALICE.email, "password": ALICE.password}
        assert browser.post("/login-token/?service=s0", data=typed).status_code == 303
        return dict(browser.cookies)


def ask(node: RunningProgram, service: str, cookies: dict[str, str]) -> httpx.Response:
    """Ask for a token."""
    with httpx.Client(base_url=node.url, cookies=cookies, trust_env=False, timeout=30) as browser:
        return browser.get(f"/login-token/?service={service}")


def sign_out(node: RunningProgram, cookies: dict[str, str]) -> httpx.Response:
    """Press the button."""
    with httpx.Client(base_url=node.url, cookies=cookies, trust_env=False, timeout=30) as browser:
        return browser.post("/logout", data={"csrf_token": hidden_field(browser.get("/logout"))})


def hidden_field(page: httpx.Response) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]
