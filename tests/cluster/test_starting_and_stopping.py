"""Starts that meet each other, and stops that meet requests under way."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lab.pair import PROVIDER, SERVICE, program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.support import slow_app
from tests.support.cluster import running_cluster
from tests.support.stores import PostgreSQL

pytestmark = pytest.mark.cluster

AT_ONCE = 3
KEY = "a key for starting together, long enough for HS256"
SETTINGS = {
    "run_sp.py": ("SP", f"providers.{PROVIDER}", {"keys": [KEY], "login_url": "http://127.0.0.1:9/"}),
    "run_idp.py": ("IDP", f"services.{SERVICE}", {"keys": [KEY], "return_url": "http://127.0.0.1:9/sso/login/jwt"}),
}


def test_sigterm_lets_a_request_under_way_finish_and_takes_no_new_one(tmp_path: Path) -> None:
    with running_cluster(tmp_path, env={"SP_APP": "tests.support.slow_app:app"}) as cluster:
        node = cluster.nodes[0]
        with httpx.Client(base_url=node.url, headers={"Accept": "text/html"}, trust_env=False) as client:
            client.get("/sso/login/jwt", params={"jwt": cluster.token("alice@example.com")})
            with ThreadPoolExecutor(4) as at_once:
                answers = [at_once.submit(client.get, f"/{number}", timeout=15) for number in range(4)]
                time.sleep(slow_app.SECONDS / 2)
                assert node.stop() == 0
                bodies = [answer.result().text for answer in answers]
        assert bodies == ["done for alice@example.com"] * 4
        with pytest.raises(httpx.ConnectError):
            httpx.get(node.url, trust_env=False)


@pytest.mark.parametrize("script", SETTINGS)
def test_programs_that_start_at_once_on_a_fresh_database_all_serve(script: str, tmp_path: Path) -> None:
    with started_at_once(script, tmp_path, settings_for(script, tmp_path)) as programs:
        for program in programs:
            assert httpx.get(f"{program.url}/readyz", trust_env=False).status_code == 200
            assert "Traceback" not in program.log
    assert_sound(tmp_path)


@pytest.mark.parametrize("script", SETTINGS)
def test_nodes_that_start_at_once_on_a_fresh_postgresql_all_serve(
    script: str, tmp_path: Path, postgresql: PostgreSQL
) -> None:
    settings = settings_for(script, tmp_path)
    settings[f"{SETTINGS[script][0]}_DATABASE_URL"] = postgresql.create_database()
    with started_at_once(script, tmp_path, settings) as programs:
        for program in programs:
            assert httpx.get(f"{program.url}/readyz", trust_env=False).status_code == 200
            assert "Traceback" not in program.log


@pytest.mark.parametrize("script", SETTINGS)
def test_demos_that_start_at_once_in_a_fresh_folder_agree_on_the_secrets(script: str, tmp_path: Path) -> None:
    prefix = SETTINGS[script][0]
    with started_at_once(script, tmp_path, {f"{prefix}_INSTANCE": str(tmp_path)}) as programs:
        for program in programs:
            assert httpx.get(f"{program.url}/readyz", trust_env=False).status_code == 200
            assert "DEMO" in program.log
            assert "Traceback" not in program.log
    assert_sound(tmp_path)


def test_a_node_that_starts_while_others_serve_disturbs_nobody(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        node, failures, stop = cluster.nodes[0], [], threading.Event()

        def keep_signing_in() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                with httpx.Client(base_url=node.url, headers={"Accept": "text/html"}, trust_env=False) as client:
                    answer = client.get("/sso/login/jwt", params={"jwt": cluster.token(f"p{number}@example.com")})
                    if answer.headers.get("location") != "/":
                        failures.append(f"{answer.status_code} {answer.headers.get('location')}")

        busy = threading.Thread(target=keep_signing_in)
        busy.start()
        try:
            late = RunningProgram("run_sp.py", free_port(), tmp_path / "late", node.env)
            with late:
                assert httpx.get(f"{late.url}/readyz", trust_env=False).status_code == 200
        finally:
            stop.set()
            busy.join()
        assert failures == []


def settings_for(script: str, folder: Path) -> dict[str, str]:
    prefix, name, entry = SETTINGS[script]
    return program_environment(prefix, folder, "http://127.0.0.1:9", table(name, {"preset": "ispring", **entry}))


@contextmanager
def started_at_once(script: str, folder: Path, env: dict[str, str]) -> Iterator[list[RunningProgram]]:
    """Start several of one program on one state, two workers each, and wait until all of them serve."""
    programs = [
        RunningProgram(script, free_port(), folder / f"node-{number}", env, ["--workers", "2"])
        for number in range(AT_ONCE)
    ]
    try:
        for program in programs:
            program.start(wait=False)
        for program in programs:
            program.wait_until_healthy()
        yield programs
        for program in programs:
            program.stop()
    finally:
        for program in programs:
            program.kill()


def assert_sound(folder: Path) -> None:
    """Expect one database in which SQLite finds no error."""
    (database,) = folder.glob("*.sqlite3")
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
