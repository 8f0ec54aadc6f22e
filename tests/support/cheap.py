"""Make cheap, in the process of the tests, what costs much and is the same in all tests.

A program that a test starts in another process does not have this: it is as users have it.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, event

from shared import keys, passwords
from sp.reloading import Reloader

Key = tuple[Any, ...]

OBJECTS_BETWEEN_COLLECTIONS = 50_000  # Python's own 700 made 13 % of the processor time of tests without programs


class CompiledStatements(dict[Key, Any]):
    """For SQLAlchemy's `compiled_cache`: a dialect counts by its class, not as the object that one engine has."""

    def get(self, key: Key, default: Any = None) -> Any:
        return super().get(_any_engine(key), default)

    def __setitem__(self, key: Key, compiled: Any) -> None:
        super().__setitem__(_any_engine(key), compiled)


def _any_engine(key: Key) -> Key:
    return type(key[0]), *key[1:]


def share_compiled_statements() -> None:
    """Let all engines of this process use what one of them has compiled; each test has an engine."""
    compiled = CompiledStatements()

    @event.listens_for(Engine, "engine_connect")
    def use(connection: Connection) -> None:
        connection.execution_options(compiled_cache=compiled)


def hash_cheaply() -> None:
    """Hash passwords with little memory, and compute the fingerprint of each secret once."""
    passwords.MEMORY_KIB, passwords.PASSES = 8, 1
    keys.fingerprint_of_secret = cache(keys.fingerprint_of_secret)


def collect_rarely() -> None:
    """Let the garbage collector run rarely: most of what it looks through has been imported, and stays."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 20, 20)


def look_when_told() -> None:
    """Start no thread that looks at the file of SP_CONFIG in a gateway that caches nothing: its test says when to look.

    The thread of each gateway would look until the end of the run, also at files that are no longer there.
    """
    keep_looking = Reloader.keep_looking

    def unless_nothing_is_cached(reloader: Reloader) -> None:
        if reloader.cache:
            keep_looking(reloader)

    Reloader.keep_looking = unless_nothing_is_cached  # type: ignore[assignment, method-assign]
