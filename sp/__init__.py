"""The gateway. It verifies sign-in tokens, stores sessions, and protects an application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from shared import schema
from shared.errors import StoreUnavailable
from shared.private_files import exposures
from shared.settings import SettingsRefused
from sp import config as settings
from sp.app import create_app, create_app_in_force
from sp.config import log_format
from sp.policy.rules import warnings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from flask import Flask

    from sp.components import Components
    from sp.config import Config
    from sp.gateway import Gateway

__all__ = ["create_app", "create_wsgi", "log_format", "prepare", "reload"]

log = logging.getLogger("lychgate")


def prepare(host: str, port: int) -> str:
    """Check every setting, bring the database up to date, and return the banner. Raises SettingsRefused.

    The protected application is not imported here but in the workers, because it may start threads at import.
    """
    config = settings.announce(host, port)
    core: Components = create_app(config).extensions["lychgate"]
    _warn_of_clocks(core)
    for exposure in exposures(config.instance, config.database_url):
        log.warning("%s", exposure)
    lines = [f"Lychgate gateway on {config.external_url}{config.prefix}"]
    if config.is_demo:
        lines.append(f"DEMO: no SP_SECRET_KEY is set, so secrets were generated into {config.instance}.")
        lines.append("DEMO: for this machine only. Set SP_SECRET_KEY before anyone else is to use it.")
    lines += [f"Site {site.name}: {site.url}" for site in config.sites]
    for site in config.all_sites:
        where = "" if site.is_home else f"site {site.name}: "
        lines += [f"Note: {where}{warning}." for warning in warnings(site.rules)]
    lines += [f"Note: {undecided}." for undecided in core.reloader.state.undecided]
    return "\n".join(lines)


def _warn_of_clocks(core: Components) -> None:
    """Log each database or Redis server whose clock differs from the gateway's.

    If a store does not answer, this function logs nothing, because /readyz reports that.
    """
    ask: list[Callable[[], str | None]] = [lambda: schema.clock_complaint(core.database.engine), core.replay.check]
    for complaint in ask:
        with suppress(schema.DatabaseError, StoreUnavailable):
            if said := complaint():
                log.warning("%s", said)


def create_wsgi() -> Gateway:
    """Return the gateway in front of the application that SP_APP names, or of the built-in page."""
    from sp.gateway import Gateway, application

    try:
        own = create_app(settings.load())
    except SettingsRefused as refusal:
        # The file was valid when the program started. So this worker is not one of the first: it replaces another.
        own = create_app_in_force(refusal)
    config = own.extensions["lychgate"].config
    sites = {site.name: application.load(site.app, f"sites.{site.name}.app") for site in config.sites if site.app}
    return Gateway(_protected(config, own), own, sites=sites)


def reload(application: Gateway) -> None:
    """Load the file of SP_CONFIG again and put it in force, in the background.

    This happens only if the file, or a file that it refers to, has changed. Each worker calls this at SIGHUP.
    """
    application.reload()


def _protected(config: Config, own: Flask) -> WSGIApplication:
    """Return the application to protect. Raises SettingsRefused."""
    if not config.app:
        from sp.sample_app import create_welcome_app

        return create_welcome_app(own.extensions["lychgate"])
    from sp.gateway import application

    return application.load(config.app)
