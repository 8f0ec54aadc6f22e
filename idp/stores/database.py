"""The database as a whole: opened, brought up to date, asked whether it is well."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from idp.models import db
from idp.services import ServiceRegistry
from shared.schema import Engine, is_up_to_date, prepare_engine, upgrade
from shared.settings import SettingsRefused
from shared.vault import VaultLocked

DatabaseDown = OperationalError  # what a database raises that cannot be reached, is locked, or lacks a table
MIGRATIONS = Path(__file__).parents[1] / "migrations"


def open_database(app: Flask) -> Engine:
    """Give *app* its engine, and return it. Nothing is connected yet."""
    db.init_app(app)
    with app.app_context():
        return prepare_engine(db.engine)


def bring_up_to_date() -> None:
    """Apply the migrations that the database lacks, or raise SettingsRefused."""
    try:
        upgrade(db.engine, MIGRATIONS)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SettingsRefused([f"IDP_DATABASE_URL: the database cannot be used: {reason}"]) from error


def hang_up() -> None:
    """Close every connection, before this process forks: a connection belongs to one process."""
    db.session.remove()
    db.engine.dispose()


def missing(registry: ServiceRegistry) -> list[str]:
    """Return what is missing before people can be signed in."""
    try:
        if not is_up_to_date(db.engine, MIGRATIONS):
            return ["the database schema is not up to date"]
        registry.all()
    except SQLAlchemyError:
        return ["the database cannot be reached"]
    except VaultLocked:
        return ["the keys of the services were sealed with another IDP_SECRET_KEY"]
    return []
