"""Store the content of a database, and restore it.

This is faster than a new database, and safe while other connections read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, MetaData, delete, event, insert, select

from idp.models import db as idp_db
from sp.database.models import SettingsRevision
from sp.database.models import db as sp_db
from sp.providers.rows import bump_revision

if TYPE_CHECKING:
    from flask import Flask


class Snapshot:
    """The present rows of all tables except those in *kept*."""

    def __init__(
        self,
        engine: Engine,
        metadata: MetaData,
        kept: tuple[Any, ...] = (),
        then: Callable[[Connection], None] = lambda _connection: None,
    ) -> None:
        self.engine, self._then = engine, then
        _do_not_sync(engine)
        self._tables = [table for table in metadata.sorted_tables if table not in kept]
        with engine.connect() as connection:
            self._rows = {
                table: [dict(row) for row in connection.execute(select(table)).mappings()] for table in self._tables
            }

    def restore(self) -> None:
        """Restore these rows in one transaction."""
        with self.engine.execution_options(write=True).begin() as connection:
            for table in reversed(self._tables):
                connection.execute(delete(table))
            for table in self._tables:
                if self._rows[table]:
                    connection.execute(insert(table), self._rows[table])
            self._then(connection)


def snapshot_of_gateway(engine: Engine) -> Snapshot:
    """Return a snapshot of the gateway's database.

    The revision of the settings is not restored. Each restore raises it instead, so that workers notice the change.
    """
    return Snapshot(engine, sp_db.metadata, (SettingsRevision.__table__,), bump_revision)


def snapshot_of_identity_provider(app: Flask) -> Snapshot:
    """Return a snapshot of the identity provider's database."""
    with app.app_context():
        return Snapshot(idp_db.engine, idp_db.metadata)


def _do_not_sync(engine: Engine) -> None:
    """Do not sync to the disk, because a test's data need not survive a power cut."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    engine.dispose()  # close the connections that are already open
