"""A prepared statement writes and reads what SQLAlchemy Core does, on both databases, and fails as it does."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Text, bindparam, cast, delete, func, insert, literal_column, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError, StatementError

from shared.errors import StoreUnavailable
from sp.database.access import Database
from sp.database.models import Account, Activity, ProviderRecord, SessionRecord, SpentToken
from sp.database.prepared import Prepared
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.statements import watched
from tests.support.stores import PostgreSQL

NOON = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
HOSTILE = "%s %(id)s :id ? '' \" \\ ü 𝄞"
ACCOUNT: dict[str, Any] = {
    "email": "Älice@example.com",
    "email_key": "älice@example.com",
    "name": HOSTILE,
    "groups": ["staff", HOSTILE],
    "attributes": {"a": [1, 2.5, None, True], "b": {"ü": HOSTILE}},
    "is_active": True,
    "is_admin": False,
    "created_at": NOON,
    "last_sign_in_at": None,
    "synchronised_at": 1795309803.25,
}
SPENT: dict[str, Any] = {"key": bytes(range(16)), "expires_at": 2**40, "session_hash": None, "return_path": HOSTILE}
LINE: dict[str, Any] = {
    "reference": "r",
    "at": 1,
    "event": "sign_in",
    "address": "::1",
    "user_agent": HOSTILE,
    "token_key": b"\0" * 16,
    "trace": b"\xff\0",
}
SPENT_TOKENS: Any = SpentToken.__table__
ACCOUNTS: Any = Account.__table__
SESSIONS: Any = SessionRecord.__table__
PROVIDERS: Any = ProviderRecord.__table__
FIND: Prepared[Any] = Prepared(select(SPENT_TOKENS.c.key))
ROWS = [(Account, ACCOUNT, "email_key"), (SpentToken, SPENT, "key"), (Activity, LINE, "reference")]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        environ["SP_DATABASE_URL"] = migrated_postgresql(server)
    database = core_of(make_gateway(tmp_path, None, **environ)).database
    yield database
    database.engine.dispose()


def as_stored(database: Database, table: Any) -> list[tuple[Any, ...]]:
    """Return the rows of *table* as text, without the conversions of its types, and without the number of the row."""
    as_text = func.quote if database.dialect == "sqlite" else lambda column: cast(column, Text)
    columns = [as_text(literal_column(f'"{column.name}"')) for column in table.columns if column.name != "id"]
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).select_from(table))]


@pytest.mark.parametrize(("model", "row", "_key"), ROWS)
def test_what_it_writes_is_stored_as_core_stores_it(
    database: Database, model: Any, row: dict[str, Any], _key: str
) -> None:
    table, stored = model.__table__, []
    for write in (
        lambda connection: connection.execute(insert(table), row),
        lambda connection: Prepared[Any](insert(table).inline()).run(connection, row),
    ):
        with database.writing() as connection:
            connection.execute(delete(table))
            write(connection)
        stored.append(as_stored(database, table))
    assert stored[0] == stored[1]
    assert len(stored[0]) == 1


@pytest.mark.parametrize(("model", "row", "key"), ROWS)
def test_what_it_reads_is_what_core_reads(database: Database, model: Any, row: dict[str, Any], key: str) -> None:
    table = model.__table__
    query = select(*table.columns, table.c[key].is_(None).label("none")).where(table.c[key] == bindparam("wanted"))
    with database.writing() as connection:
        connection.execute(insert(table), row)
        for wanted in (row[key], row[key][:1]):
            by_core = [tuple(found) for found in connection.execute(query, {"wanted": wanted})]
            prepared: Prepared[tuple[Any, ...]] = Prepared(query)
            for _time in range(2):
                assert prepared.all(connection, {"wanted": wanted}) == by_core
            for one, other in zip(prepared.all(connection, {"wanted": wanted}), by_core, strict=True):
                assert [type(value) for value in one] == [type(value) for value in other]


def test_a_time_comes_back_in_utc_and_one_without_a_zone_is_refused(database: Database) -> None:
    create: Prepared[Any] = Prepared(insert(ACCOUNTS).returning(ACCOUNTS.c.created_at))
    with database.writing() as connection:
        assert create.first(connection, ACCOUNT) == (NOON.astimezone(UTC),)
    for write in (create.run, lambda connection, row: connection.execute(insert(ACCOUNTS), row)):
        with pytest.raises(StoreUnavailable) as refused, database.writing() as connection:
            write(connection, ACCOUNT | {"created_at": NOON.replace(tzinfo=None)})
        assert isinstance(refused.value.__cause__, StatementError)


def test_a_row_is_what_the_statement_says(database: Database) -> None:
    class Names(NamedTuple):
        email: str
        groups: list[str]

    table = ACCOUNTS
    find = Prepared(select(table.c.email, table.c.groups).where(table.c.email_key == bindparam("key")), Names._make)
    with database.writing() as connection:
        assert find.first(connection, {"key": ACCOUNT["email_key"]}) is None
        connection.execute(insert(table), ACCOUNT)
        found = find.first(connection, {"key": ACCOUNT["email_key"]})
    assert found == Names(ACCOUNT["email"], ACCOUNT["groups"])
    assert isinstance(found, Names)


def test_the_columns_that_are_given_are_those_that_change(database: Database) -> None:
    table = ACCOUNTS
    change: Prepared[Any] = Prepared(update(table).where(table.c.email_key == bindparam("who")))
    with database.writing() as connection:
        connection.execute(insert(table), ACCOUNT)
        for changes in ({"name": "N"}, {"login": "l", "groups": []}, {"name": None}):
            change.run(connection, {"who": ACCOUNT["email_key"], **changes})
        row = connection.execute(select(table.c.name, table.c.login, table.c["groups"])).one()
    assert tuple(row) == (None, "l", [])


def test_a_row_that_is_there_already_is_an_integrity_error_without_its_values(database: Database) -> None:
    spend: Prepared[Any] = Prepared(insert(SPENT_TOKENS).inline())

    def spend_twice() -> None:
        with database.writing() as connection:
            for _time in range(2):
                spend.run(connection, SPENT)

    with pytest.raises(IntegrityError) as refused:
        spend_twice()
    assert HOSTILE not in str(refused.value)
    with database.reading() as connection:
        assert connection.execute(select(SPENT_TOKENS)).first() is None


def test_a_statement_that_fails_denies_access_and_the_next_one_works(database: Database) -> None:
    find: Prepared[Any] = Prepared(text("SELECT 1 FROM no_such_table").columns())
    with pytest.raises(StoreUnavailable), database.writing() as connection:
        find.run(connection, {})
    with database.writing() as connection:
        Prepared[Any](insert(SPENT_TOKENS)).run(connection, SPENT)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("way", ["reading", "together"])
def test_attack_a_row_that_cannot_be_read_after_the_first_one_denies_access_as_well(
    database: Database, way: str
) -> None:
    """SQLite finds each row only when it is fetched, so a broken page is noticed in the middle of an answer."""
    with database.writing() as connection:
        for key, page in ((b"1", "{}"), (b"2", "broken")):
            connection.execute(insert(SPENT_TOKENS), SPENT | {"key": key, "return_path": page})
    find: Prepared[Any] = Prepared(select(func.json(SPENT_TOKENS.c.return_path)).order_by(SPENT_TOKENS.c.key))

    def read() -> None:
        if way == "together":
            database.together(lambda connection: find.all(connection, {}))
        else:
            with database.reading() as connection:
                find.all(connection, {})

    with pytest.raises(StoreUnavailable):
        read()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_has_ended_is_not_used_again(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    broken: list[Any] = []

    def lose_the_connection() -> None:
        with database.writing() as connection:
            broken.append(connection.connection.dbapi_connection)
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            with database.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            FIND.all(connection, {})

    with pytest.raises(StoreUnavailable):
        lose_the_connection()
    assert caplog.records == []
    with database.writing() as connection:
        assert connection.connection.dbapi_connection is not broken[0]
        assert FIND.all(connection, {}) == []


def test_an_exception_that_ends_the_thread_gives_the_connection_up(database: Database) -> None:
    interrupts, used = [SystemExit()], list[Any]()

    def interrupt(statement: str) -> None:
        if "spent_token" in statement and interrupts:
            raise interrupts.pop()

    def find() -> None:
        with database.reading() as connection:
            used.append(connection.connection.dbapi_connection)
            assert FIND.all(connection, {}) == []

    with watched(database.engine, before=interrupt):
        with pytest.raises(SystemExit):
            find()
        find()
        find()
    assert used[0] is not used[1]
    assert used[1] is used[2]


WITH_VALUES_IN_ITS_TEXT: list[Callable[[], Any]] = [
    lambda: select(SESSIONS).where(SESSIONS.c.kind.in_(["a", "b"])),
    lambda: insert(PROVIDERS),  # managed_by_file has a default
]


@pytest.mark.parametrize("statement", WITH_VALUES_IN_ITS_TEXT)
def test_a_statement_whose_text_depends_on_its_values_is_refused(
    database: Database, statement: Callable[[], Any]
) -> None:
    with pytest.raises(TypeError, match="depends on its values"), database.reading() as connection:
        Prepared[Any](statement()).run(connection, {"name": os.urandom(4).hex()})


def test_a_value_that_is_missing_is_an_error(database: Database) -> None:
    table = ACCOUNTS
    find: Prepared[Any] = Prepared(select(table.c.id).where(table.c.email == bindparam("email")))
    with pytest.raises((StoreUnavailable, SQLAlchemyError)), database.reading() as connection:
        find.first(connection, {})
