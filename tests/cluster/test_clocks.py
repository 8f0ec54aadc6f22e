"""A clock that differs from ours is reported by /readyz and at the start, and no sign-in fails because of it."""

import secrets
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from lab.ports import free_port
from lab.programs import RunningProgram
from sp.signin.redis_replay import RedisReplayCache
from tests.support.gateway import core_of, make_gateway
from tests.support.stores import PostgreSQL, Redis

WORDS = "clock: the database is 600 seconds ahead of this machine; set both by NTP"


@pytest.fixture
def fast_database(postgresql: PostgreSQL) -> str:
    """A database whose clock is ten minutes ahead."""
    url = postgresql.create_database()
    parts = urlsplit(url)
    name = parts.path.strip("/")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ahead")
        connection.execute(
            "CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            " $$ SELECT pg_catalog.clock_timestamp() + interval '600 seconds' $$"
        )
        connection.execute(f"ALTER DATABASE {name} SET search_path = ahead, public, pg_catalog")
    return url


@pytest.mark.cluster
@pytest.mark.parametrize(("script", "prefix"), [("run_sp.py", "SP"), ("run_idp.py", "IDP")])
def test_a_database_whose_clock_is_ahead_is_named_at_the_start_and_by_readyz(
    script: str, prefix: str, fast_database: str, tmp_path: Path
) -> None:
    port = free_port()
    env = {
        f"{prefix}_SECRET_KEY": secrets.token_urlsafe(48),
        f"{prefix}_DATABASE_URL": fast_database,
        f"{prefix}_INSTANCE": str(tmp_path / "instance"),
    }
    with RunningProgram(script, port, tmp_path / "run", env) as program:
        assert WORDS in program.log
        ready = httpx.get(f"{program.url}/readyz", timeout=30)
    assert (ready.status_code, ready.json()["status"], ready.json()["warnings"]) == (200, "ready", [WORDS])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-60, ["clock: Redis is 60 seconds ahead of this machine; set both by NTP"]),
        (60, ["clock: Redis is 60 seconds behind this machine; set both by NTP"]),
        (0, None),
    ],
)
def test_a_redis_whose_clock_differs_is_named_by_readyz(
    seconds: int, words: list[str] | None, redis_server: Redis, tmp_path: Path
) -> None:
    app = make_gateway(tmp_path, SP_REPLAY_URL=redis_server.url)
    core = core_of(app)
    replay = RedisReplayCache(redis_server.url, clock=lambda: time.time() + seconds)
    app.extensions["lychgate"] = replace(core, replay=replay)
    ready = app.test_client().get("/readyz")
    core.database.engine.dispose()
    assert (ready.status_code, ready.get_json().get("warnings")) == (200, words)
