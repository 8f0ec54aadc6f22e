"""See each statement that a database's driver executes, also those that do not pass SQLAlchemy's events."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, event

Note = Callable[[str], None]


def ignore(_statement: str) -> None:
    """Do nothing with a statement."""


@contextmanager
def watched(engine: Engine, *, before: Note = ignore, after: Note = ignore) -> Iterator[None]:
    """Call *before* and *after* each statement of each connection of *engine*; if *before* raises, it is not run.

    On PostgreSQL, BEGIN, COMMIT and ROLLBACK of a pipelined transaction are statements too, and *after* only means that
    a statement was sent.
    """
    name, listener = _listener(engine, before, after)
    engine.dispose()  # connections that are open already would not be watched
    event.listen(engine, name, listener)
    try:
        yield
    finally:
        event.remove(engine, name, listener)
        engine.dispose()


def _listener(engine: Engine, before: Note, after: Note) -> tuple[str, Callable[..., None]]:
    if engine.dialect.name == "postgresql":

        class WatchedByPsycopg(psycopg.Cursor[Any]):
            def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
                before(query)
                done = super().execute(query, *arguments, **options)
                after(query)
                return done

        def watch(connection: Any, _record: Any) -> None:
            connection.cursor_factory = WatchedByPsycopg
            send = connection._send  # the BEGIN and COMMIT of a pipelined transaction

            def watched_send(pipe: Any, command: bytes) -> None:
                before(command.decode())
                send(pipe, command)
                after(command.decode())

            connection._send = watched_send

        return "connect", watch

    class WatchedBySqlite(sqlite3.Cursor):
        def execute(self, statement: str, *arguments: Any) -> Any:
            before(statement)
            done = super().execute(statement, *arguments)
            after(statement)
            return done

    class Connection(sqlite3.Connection):
        def cursor(self, _factory: Any = None) -> Any:
            return super().cursor(WatchedBySqlite)

    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        parameters["factory"] = Connection

    return "do_connect", connect
