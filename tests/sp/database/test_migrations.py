"""The schema that the migrations make is the one that the models describe, and what was there before is still there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from shared.schema import make_engine
from sp.database.models import Base
from tests.support.stores import PostgreSQL

MIGRATIONS = Path(__file__).parents[3] / "sp" / "migrations"
ACCOUNT = (
    "INSERT INTO account (id, email, email_key, groups, attributes, is_active, is_admin, created_at) VALUES"
    " (:id, :email, :email, '[]', '{}', true, false, '2026-01-01 00:00:00')"
)
IDENTITY = (
    "INSERT INTO identity (provider, subject, account_id, issued_at, created_at) VALUES"
    " (:provider, 'a', :account, :at, '2026-01-01 00:00:00')"
)
SESSION = (
    "INSERT INTO session (id_hash, public_id, kind, account_id, claims, created_at, expires_at, address, user_agent,"
    " return_path) VALUES (:hash, :name, 'browser', 1, '{}', 1, 2, '', '', '/')"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'sp.sqlite3'}"
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.create_database()
    engine = make_engine(url)
    yield engine
    engine.dispose()


def migrate(engine: Engine, revision: str, *, back: bool = False) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(config, revision)


def put(engine: Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def all_of(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_models_and_migrated_schema_agree(engine: Engine) -> None:
    migrate(engine, "head")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_each_account_takes_over_the_newest_time_of_its_ids_and_gives_it_back(engine: Engine) -> None:
    migrate(engine, "0001")
    for number in (1, 2):
        put(engine, ACCOUNT, id=number, email=f"{number}@example.com")
    for provider, at in (("corporate", 100.5), ("partner", 300.25), ("campus", 200.0)):
        put(engine, IDENTITY, provider=provider, account=1, at=at)
    migrate(engine, "head")
    clocks = "SELECT id, synchronised_at FROM account ORDER BY id"
    assert all_of(engine, clocks) == [(1, 300.25), (2, 0.0)]
    migrate(engine, "0001", back=True)
    assert all_of(engine, "SELECT DISTINCT issued_at FROM identity") == [(300.25,)]


def test_nobody_is_signed_out_by_a_migration_there_and_back(engine: Engine) -> None:
    migrate(engine, "0001")
    put(engine, ACCOUNT, id=1, email="a@example.com")
    put(engine, SESSION, hash=b"h" * 32, name="one")
    migrate(engine, "head")
    assert all_of(engine, "SELECT public_id, opened_with FROM session") == [("one", None)]
    migrate(engine, "0001", back=True)
    assert all_of(engine, "SELECT public_id FROM session") == [("one",)]
    migrate(engine, "head")


def test_a_node_of_the_version_before_goes_on_until_it_is_restarted(engine: Engine) -> None:
    """Nodes are restarted one by one: the old ones write rows without the new columns."""
    migrate(engine, "head")
    put(engine, ACCOUNT, id=1, email="a@example.com")
    put(engine, IDENTITY, provider="corporate", account=1, at=1.0)
    put(engine, SESSION, hash=b"h" * 32, name="one")
    assert all_of(engine, "SELECT synchronised_at FROM account") == [(0.0,)]


PROVIDER = (
    "INSERT INTO provider (name, settings, managed_by_file, created_at, updated_at) VALUES"
    " (:name, :settings, false, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
)
KNOWN_AS = (
    "INSERT INTO identity (provider, subject, account_id, issued_at, created_at) VALUES"
    " (:provider, :subject, :account, 1, '2026-01-01 00:00:00')"
)


@pytest.mark.parametrize(
    ("mapping", "subject", "claim"),
    [
        ({"id": "email", "email": "email"}, "a@example.com", "email"),
        ({"id": ["mail", "email"], "email": ["email", "mail"]}, "a@example.com", "email"),
        ({"id": "sub", "email": "email"}, "a@example.com", "sub"),
        ({"id": ["sub", "email"], "email": "email"}, "4711", "sub"),
        ({"id": ["sub", "email"], "email": "email"}, "a@example.com", ""),
        ({"id": ["id", "sub"], "email": "email"}, "4711", ""),
        (None, "4711", ""),
    ],
)
def test_each_id_takes_the_claim_over_that_its_provider_maps_and_an_uncertain_one_takes_none(
    engine: Engine, mapping: dict[str, object] | None, subject: str, claim: str
) -> None:
    migrate(engine, "0002")
    put(engine, ACCOUNT, id=1, email="a@example.com")
    if mapping is not None:
        put(engine, PROVIDER, name="corporate", settings=json.dumps({"mapping": mapping}))
    put(engine, KNOWN_AS, provider="corporate", subject=subject, account=1)
    migrate(engine, "head")
    assert all_of(engine, "SELECT provider, subject, claim, account_id FROM identity") == [
        ("corporate", subject, claim, 1)
    ]
    migrate(engine, "0002", back=True)
    assert all_of(engine, "SELECT provider, subject, account_id FROM identity") == [("corporate", subject, 1)]


def test_wrong_passwords_of_before_get_their_code_and_lose_it_on_the_way_back(engine: Engine) -> None:
    migrate(engine, "0002")
    line = (
        "INSERT INTO activity (reference, at, event, code, address, user_agent) VALUES (:r, 1, :event, :code, '', '')"
    )
    for reference, event, code in (("A", "refused", None), ("B", "refused", "token_expired"), ("C", "sign_in", None)):
        put(engine, line, r=reference, event=event, code=code)
    migrate(engine, "head")
    after = [("A", "wrong_password", 1), ("B", "token_expired", 1), ("C", None, 1)]
    assert all_of(engine, "SELECT reference, code, times FROM activity ORDER BY reference") == after
    put(engine, line, r="D", event="sign_in", code=None)  # as a node of the version before writes it
    migrate(engine, "0002", back=True)
    before = [("A", None), ("B", "token_expired"), ("C", None), ("D", None)]
    assert all_of(engine, "SELECT reference, code FROM activity ORDER BY reference") == before
    migrate(engine, "head")
