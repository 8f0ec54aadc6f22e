"""Run a statement of SQLAlchemy Core without its cost: compiled once, then given to the driver directly.

The statement is written in Core, as everywhere. Its text is made for the database at its first use, together with the
conversions of its values and columns, and kept. After that a use costs a few microseconds beside the driver's work. The
rows in the database, and those that are read, are the same as with `Connection.execute`; a test compares them.

SQLAlchemy's events for statements do not fire. Core statements whose text depends on the values themselves (lists in
IN, defaults that Python computes) are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError

Row = TypeVar("Row")
Values = Mapping[str, Any]
Convert = Callable[[Any], Any]


class Prepared(Generic[Row]):
    """A *statement*, and what makes a row of its columns: by default a tuple. Safe for use by several threads."""

    def __init__(self, statement: Any, row: Callable[[Sequence[Any]], Row] = tuple) -> None:  # type: ignore[assignment]
        self._statement, self._row = statement, row
        self._texts: WeakKeyDictionary[Dialect, dict[tuple[str, ...], _Text]] = WeakKeyDictionary()

    def run(self, connection: Connection, values: Values) -> None:
        """Execute the statement in the connection's transaction. Raises DBAPIError, as SQLAlchemy does."""
        text = self._text_for(connection, values)
        cursor, _rows = _execute(connection, text, values, fetch=False)
        cursor.close()

    def all(self, connection: Connection, values: Values) -> list[Row]:
        """Execute the statement; return its rows."""
        text = self._text_for(connection, values)
        cursor, fetched = _execute(connection, text, values, fetch=True)
        rows = [self._row(text.converted(cursor, row)) for row in fetched]
        cursor.close()
        return rows

    def first(self, connection: Connection, values: Values) -> Row | None:
        """Execute the statement; return its first row, or None."""
        rows = self.all(connection, values)
        return rows[0] if rows else None

    def _text_for(self, connection: Connection, values: Values) -> _Text:
        """Return the text for these names of values, which are the columns that are written."""
        names = tuple(values)
        texts = self._texts.setdefault(connection.dialect, {})
        if (text := texts.get(names)) is None:
            text = texts[names] = _Text(self._statement, names, connection.dialect)
        return text


class _Text:
    """What a statement has become for one database and certain names of values."""

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
        """Return the values as the driver takes them."""
        if self._fixed:
            values = {**self._fixed, **values}
        found = [
            convert(values[name]) if convert else values[name]
            for name, convert in zip(self._order, self._converts, strict=True)
        ]
        return found if self._is_positional else dict(zip(self._order, found, strict=True))

    def converted(self, cursor: Any, row: Sequence[Any]) -> Sequence[Any]:
        """Return a *row* of the driver with the values that the columns' types make of it."""
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


def _execute(connection: Connection, text: _Text, values: Values, *, fetch: bool) -> tuple[Any, list[Sequence[Any]]]:
    """Return the driver's cursor after it has executed *text*, and its rows if they are to be fetched."""
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.dbapi_connection
    try:
        parameters = text.parameters(values)
    except Exception as error:
        raise _wrapped(text, error, connection.dialect) from error
    cursor = driver.cursor()
    try:
        cursor.execute(text.sql, parameters)
        rows = cursor.fetchall() if fetch else []  # SQLite works here too: it finds the next row only now
    except BaseException as error:
        _give_up_if_broken(connection, driver, error)
        if not isinstance(error, driver.Error):
            raise
        raise _wrapped(text, error, connection.dialect) from error
    return cursor, rows


def _wrapped(text: _Text, error: Exception, dialect: Any) -> BaseException:
    """Return *error* as SQLAlchemy names it, without the values of the statement."""
    return DBAPIError.instance(text.sql, None, error, dialect.loaded_dbapi.Error, dialect=dialect)


def _give_up_if_broken(connection: Connection, driver: Any, error: BaseException) -> None:
    """Put a connection that cannot be used again out of the pool: lost, or left in the middle of an exchange."""
    if not isinstance(error, Exception) or connection.dialect.is_disconnect(error, driver, None):  # type: ignore[arg-type]
        connection.invalidate(error)
