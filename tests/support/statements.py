"""Compile each SQL statement once in this process: each test has a database, and the statements are the same in all.

SQLAlchemy compiles a statement once for each engine, which was a quarter of what a test of a page took.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

Key = tuple[Any, ...]


class CompiledStatements(dict[Key, Any]):
    """For SQLAlchemy's `compiled_cache`: a dialect counts by its class, not as the object that one engine has."""

    def get(self, key: Key, default: Any = None) -> Any:
        return super().get(_any_engine(key), default)

    def __setitem__(self, key: Key, compiled: Any) -> None:
        super().__setitem__(_any_engine(key), compiled)


def _any_engine(key: Key) -> Key:
    return type(key[0]), *key[1:]


def share_compiled_statements() -> None:
    """Let all engines of this process use what one of them has compiled."""
    compiled = CompiledStatements()

    @event.listens_for(Engine, "engine_connect")
    def use(connection: Connection) -> None:
        connection.execution_options(compiled_cache=compiled)
