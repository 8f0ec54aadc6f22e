"""Open the database, migrate it, and check its health."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from flask import Flask
from sqlalchemy.exc import InternalError, OperationalError, SQLAlchemyError

from idp.models import db
from idp.services import ServiceRegistry
from shared import schema
from shared.disk import write_trouble
from shared.schema import Engine
from shared.vault import VaultLocked

DatabaseDown = OperationalError  # raised if a database cannot be reached, is locked, or lacks a table
TransactionEnded = InternalError  # raised by PostgreSQL if a transaction was open for too long
MIGRATIONS = Path(__file__).parents[1] / "migrations"


def open_database(app: Flask) -> Engine:
    """Create the engine of *app*, and return it. It does not connect yet."""
    db.init_app(app)
    with app.app_context():
        return schema.prepare_engine(db.engine)


def starting() -> AbstractContextManager[None]:
    """Apply the missing migrations. Raises SettingsRefused, also for database errors inside this block."""
    return schema.starting(db.engine, "IDP_DATABASE_URL", MIGRATIONS)


def hang_up() -> None:
    """Close every connection before this process forks, because a connection belongs to one process."""
    db.session.remove()
    db.engine.dispose()


def missing(registry: ServiceRegistry) -> list[str]:
    """Return the reasons why sign-in does not work. The list is empty if the database and the stored keys can be used.

    The directory of people is not asked.
    """
    try:
        if not schema.is_up_to_date(db.engine, MIGRATIONS):
            return ["the database schema is not up to date"]
        registry.all()
        if trouble := write_trouble(db.engine):
            return [f"the database cannot be written: {trouble}"]
    except SQLAlchemyError:
        return ["the database cannot be reached"]
    except VaultLocked:
        return ["the keys of the services were encrypted with another IDP_SECRET_KEY"]
    return []


def warnings() -> list[str]:
    """Return warnings about problems that may soon stop sign-in: a clock that differs from the database's."""
    try:
        said = schema.clock_complaint(db.engine)
    except SQLAlchemyError:
        return []  # `missing` reports it
    return [said] if said else []
