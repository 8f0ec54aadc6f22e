"""Run a statement of SQLAlchemy Core faster: compile it once, then pass it directly to the driver.

The statement is written in Core, as everywhere. Its first use compiles its SQL text and the conversions of its values
and columns, and caches them. Each later use takes only a few microseconds more than the driver. The written and read
rows are the same as with `Connection.execute`; a test compares them.

SQLAlchemy's events for statements do not fire. Statements whose text depends on the values (lists in IN, defaults that
Python computes) are rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError

Row = TypeVar("Row")
Values = Mapping[str, Any]
Convert = Callable[[Any], Any]


class Prepared(Generic[Row]):
    """A *statement*; *row* converts its columns to a row, by default a tuple. Several threads may use it."""

    def __init__(self, statement: Any, row: Callable[[Sequence[Any]], Row] = tuple) -> None:  # type: ignore[assignment]
        self._statement, self._row = statement, row
        self._texts: WeakKeyDictionary[Dialect, dict[tuple[str, ...], _Text]] = WeakKeyDictionary()

    def run(self, connection: Connection, values: Values) -> None:
        """Execute the statement in the connection's transaction. Raises DBAPIError, as SQLAlchemy does."""
        self._execute(connection, values)[1].close()

    def send(self, connection: Connection, values: Values) -> Sent[Row]:
        """Execute the statement. Its rows can be fetched later.

        In a `pipelined` block, this does not wait for the database's answer. Only fetching the rows waits for it.
        """
        text, cursor = self._execute(connection, values)
        sent = Sent(connection, text, cursor, self._row)
        if connection.dialect.name == "sqlite":
            sent.fetch()  # SQLite finds each row only when it is fetched, so fetch them all now
        return sent

    def all(self, connection: Connection, values: Values) -> list[Row]:
        """Execute the statement; return its rows."""
        return self.send(connection, values).all()

    def first(self, connection: Connection, values: Values) -> Row | None:
        """Execute the statement; return its first row, or None."""
        return self.send(connection, values).first()

    def _execute(self, connection: Connection, values: Values) -> tuple[_Text, Any]:
        """Execute the statement; return its text and the driver's cursor."""
        text = self._text_for(connection, values)
        if not connection.in_transaction():
            connection.begin()
        driver: Any = connection.connection.dbapi_connection
        try:
            parameters = text.parameters(values)
        except Exception as error:
            raise _wrapped(text.sql, error, connection.dialect) from error
        cursor = driver.cursor()
        _guarded(connection, text.sql, partial(cursor.execute, text.sql, parameters))
        return text, cursor

    def _text_for(self, connection: Connection, values: Values) -> _Text:
        """Return the compiled text for the names in *values*, which are the columns to write."""
        names = tuple(values)
        texts = self._texts.setdefault(connection.dialect, {})
        if (text := texts.get(names)) is None:
            text = texts[names] = _Text(self._statement, names, connection.dialect)
        return text


class Sent(Generic[Row]):
    """A statement that was executed, and whose rows are fetched when they are needed."""

    def __init__(self, connection: Connection, text: _Text, cursor: Any, row: Callable[[Sequence[Any]], Row]) -> None:
        self._connection, self._text, self._cursor, self._row = connection, text, cursor, row
        self._rows: list[Row] | None = None

    def all(self) -> list[Row]:
        """Return the rows. Raises DBAPIError; while `pipelined`, it may come from a statement that was sent earlier."""
        return self.fetch() if self._rows is None else self._rows

    def first(self) -> Row | None:
        """Return the first row, or None."""
        rows = self.all()
        return rows[0] if rows else None

    def fetch(self) -> list[Row]:
        """Wait for the answer."""
        catch_up(self._connection)
        fetched = _guarded(self._connection, self._text.sql, self._cursor.fetchall)
        self._rows = [self._row(self._text.converted(self._cursor, row)) for row in fetched]
        self._cursor.close()
        return self._rows


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """On PostgreSQL, run the block as a transaction whose statements are sent without waiting for one another.

    `BoundedConnection.pipelined` explains this mode. The transaction ends with the block. Raises DBAPIError if the
    commit failed or was not confirmed.
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        with driver.pipelined():
            yield
    except BaseException as error:
        if driver.closed or driver.info.pipeline_status:  # lost, or an interrupted wait has left answers unread
            connection.invalidate(error)
        if not isinstance(error, driver.Error):
            raise
        raise _wrapped("COMMIT", error, connection.dialect) from error


def catch_up(connection: Connection) -> None:
    """While `pipelined`, wait for the answers to all that was sent. Raises DBAPIError if one is an error."""
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.dbapi_connection
        _guarded(connection, "SYNC", driver.catch_up)


class _Text:
    """A statement, compiled for one database and certain names of values."""

    def __init__(self, statement: Any, names: tuple[str, ...], dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        if compiled.post_compile_params or compiled.literal_execute_params or _has_defaults(compiled):
            raise TypeError(f"the text of this statement depends on its values: {compiled.string}")
        self.sql: str = compiled.string
        self._columns = list(statement.exported_columns)
        self._dialect, self._is_positional = dialect, compiled.positional
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._order: list[str] = compiled.positiontup if compiled.positional else list(binds)
        self._converts = [binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in self._order]
        self._fixed = {name: bind.value for name, bind in binds.items() if name not in names and not bind.required}
        self._converts_back: list[tuple[int, Convert]] | None = None

    def parameters(self, values: Values) -> Any:
        """Return the values in the form that the driver accepts."""
        if self._fixed:
            values = {**self._fixed, **values}
        found = [
            convert(values[name]) if convert else values[name]
            for name, convert in zip(self._order, self._converts, strict=True)
        ]
        return found if self._is_positional else dict(zip(self._order, found, strict=True))

    def converted(self, cursor: Any, row: Sequence[Any]) -> Sequence[Any]:
        """Return the driver's *row* with its values converted by the types of the columns."""
        if self._converts_back is None:
            described = zip(self._columns, cursor.description, strict=True)
            converts = [
                column.type.dialect_impl(self._dialect).result_processor(self._dialect, description[1])
                for column, description in described
            ]
            self._converts_back = [(position, convert) for position, convert in enumerate(converts) if convert]
        if not self._converts_back:
            return row
        found = list(row)
        for position, convert in self._converts_back:
            found[position] = convert(found[position])
        return found


def _has_defaults(compiled: Any) -> bool:
    return bool((compiled.isinsert and compiled.insert_prefetch) or (compiled.isupdate and compiled.update_prefetch))


def _guarded(connection: Connection, statement: str, act: Callable[[], Any]) -> Any:
    """Return what the driver returns; raise its errors as SQLAlchemy does."""
    driver: Any = connection.connection.dbapi_connection
    try:
        return act()
    except BaseException as error:
        _give_up_if_broken(connection, driver, error)
        if not isinstance(error, driver.Error):
            raise
        raise _wrapped(statement, error, connection.dialect) from error


def _wrapped(statement: str, error: Exception, dialect: Any) -> BaseException:
    """Return *error* as SQLAlchemy's exception, without the values of the statement."""
    return DBAPIError.instance(statement, None, error, dialect.loaded_dbapi.Error, dialect=dialect)


def _give_up_if_broken(connection: Connection, driver: Any, error: BaseException) -> None:
    """Remove an unusable connection from the pool: it is lost, or was interrupted in the middle of an exchange."""
    if not isinstance(error, Exception) or connection.dialect.is_disconnect(error, driver, None):  # type: ignore[arg-type]
        connection.invalidate(error)
