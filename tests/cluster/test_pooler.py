"""The gateway behind PgBouncer in transaction mode, where each transaction may run on another server connection."""

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.schema import make_engine
from tests.support.cluster import OPENED, REPLAYED, running_cluster, send_at_once
from tests.support.stores import PgBouncer, PostgreSQL

pytestmark = pytest.mark.cluster

TOKENS, COPIES, PEOPLE = 40, 12, 8
USES = 20  # of one statement: psycopg prepares a statement at its sixth use


def test_sign_ins_at_once_open_one_session_for_each_token(
    tmp_path: Path, postgresql: PostgreSQL, pgbouncer: PgBouncer
) -> None:
    database = pgbouncer.through(postgresql.create_database())
    with running_cluster(tmp_path, nodes=2, env={"SP_DATABASE_URL": database}) as cluster:
        tokens = [cluster.token(f"p{number % PEOPLE}@example.com") for number in range(TOKENS)]
        outcomes = send_at_once(cluster, tokens, COPIES)
        assert cluster.count("session") == TOKENS
    for of_one_token in outcomes:
        assert Counter(of_one_token) == {OPENED: 1, REPLAYED: COPIES - 1}


@pytest.mark.parametrize(("pooled", "prepared"), [(False, 1), (True, 0)])
def test_statements_are_prepared_at_the_server_only_without_a_pooler(
    postgresql: PostgreSQL, pgbouncer: PgBouncer, pooled: bool, prepared: int
) -> None:
    url = postgresql.create_database()
    engine = make_engine(pgbouncer.through(url) if pooled else url)
    with engine.connect() as connection:
        for _use in range(USES):
            connection.execute(text("SELECT 1"))
        found = connection.execute(text("SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"))
        assert found.scalar_one() == prepared
    engine.dispose()
