"""Lychgate's identity provider: store people, and sign them in to services with signed tokens.

`create_app` builds the program. Only this module knows all parts of the program. run_idp.py calls `prepare` and
`create_wsgi`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from flask_login import LoginManager
from flask_wtf.csrf import CSRFProtect

from idp import authentication, cli, cli_services, config, cookies, demo, housekeeping, logout, public_pages
from idp.config import Settings
from idp.config import log_format as log_format  # for run_idp.py
from idp.context import Context
from idp.people import DirectoryUnavailable, PersonDirectory
from idp.proxies import ClientIP
from idp.services import ServiceRegistry
from idp.stores import database, sessions
from idp.stores.reencryption import reencrypt
from idp.stores.refusals import Refusals
from idp.stores.registry import SqlRegistry
from idp.throttling import make_throttle
from shared import logs, request_limits, web
from shared.cli_output import say
from shared.clock import time_now
from shared.cookies import form_cookie
from shared.lazy_rules import LazyRule
from shared.phrases import N_
from shared.private_files import exposures, make_private_folder
from shared.schema import Engine, engine_options
from shared.settings import SettingsRefused
from shared.vault import Vault

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("lychgate.idp")


def create_app(
    settings: Settings | None = None,
    *,
    people: PersonDirectory | None = None,
    services: ServiceRegistry | None = None,
    clock: Callable[[], float] = time_now,
) -> Flask:
    """Build the program, migrate its database, and apply the services of IDP_CONFIG. Raises SettingsRefused.

    *people* and *services* replace the directory of people and the registry of services. By default, IDP_PEOPLE names
    the directory, and the services are in the program's own database. IDP_CONFIG is applied only to an `SqlRegistry`,
    which is the default registry.
    """
    app = assemble(settings or config.load(), people=people, services=services, clock=clock)
    bring_up_to_date(app)
    return app


def prepare(host: str, port: int) -> str:
    """Check the settings, bring the database up to date, and return the banner. Raises SettingsRefused."""
    settings = config.load_to_serve(host, port)
    app = assemble(settings)
    bring_up_to_date(app)
    with app.app_context():
        for warning in database.warnings():
            log.warning("%s", warning)
        database.hang_up()
    for exposure in exposures(settings.instance, settings.database_url):
        log.warning("%s", exposure)
    return banner(settings)


def create_wsgi() -> WSGIApplication:
    """Return the program for one worker of run_idp.py. `prepare` must have run before."""
    app = assemble(config.load())
    housekeeping.start(app)
    return _Whole(app.wsgi_app)


class _Whole:
    """The program, with the methods that our server expects of an application (`shared.worker`)."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        return self._application(environ, start_response)

    def collects_body(self, target: str) -> bool:
        """Tell the server that it may collect every body first, because none is large."""
        return True


def assemble(
    settings: Settings,
    *,
    people: PersonDirectory | None = None,
    services: ServiceRegistry | None = None,
    clock: Callable[[], float] = time_now,
) -> Flask:
    """Build the application without touching the database."""
    logs.install_log_redaction()
    make_private_folder(settings.instance)
    app = Flask(__name__, instance_path=str(settings.instance), static_url_path="/assets")
    app.url_rule_class = LazyRule
    app.config.from_mapping(flask_settings(settings))
    request_limits.install(app)
    engine = database.open_database(app)
    app.extensions["idp"] = put_together(settings, people, services, engine, clock)
    app.after_request(public_pages.let_caches_keep)  # before web.install: handlers run in reverse order of registration
    web.install(
        app,
        prefix="",
        https=settings.https,
        branding=settings.branding,
        theme_cookie=cookies.THEME,
        role=N_("sign-in service"),
        translations=[Path(__file__).parent / "translations"],
    )
    app.url_map.merge_slashes = False  # its redirects repeat the Host header, which anyone can set
    protection = CSRFProtect(app)
    protection.exempt("shared.look.theme")  # its docstring gives the reason
    protection.exempt(authentication.LOGIN)
    recognise_people(app)
    for module in (authentication, logout, public_pages):
        app.register_blueprint(module.blueprint)
    cli.register(app)
    app.wsgi_app = ClientIP(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    return app


def flask_settings(settings: Settings) -> dict[str, object]:
    """Return the settings of Flask and its extensions."""
    return {
        "SECRET_KEY": settings.secret_keys[0],
        "SECRET_KEY_FALLBACKS": list(settings.secret_keys[1:]),
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings.database_url, "IDP_DATABASE_URL"),
        **form_cookie(cookies.FORM, settings.https),
        "WTF_CSRF_SSL_STRICT": False,  # it requires a referrer, which our pages suppress
        "WTF_CSRF_TIME_LIMIT": None,  # a tab that was left open over lunch still works
        "REMEMBER_COOKIE_NAME": "idp_unused",  # Flask-Login skips the session if this cookie exists
    }


def put_together(
    settings: Settings,
    people: PersonDirectory | None,
    services: ServiceRegistry | None,
    engine: Engine,
    clock: Callable[[], float],
) -> Context:
    """Return the context, with the directory of people and the registry of services."""
    vault = Vault(settings.secret_keys)

    def now() -> datetime:
        return datetime.fromtimestamp(clock(), UTC)

    return Context(
        settings=settings,
        people=people or _load(settings.people)(),
        services=services or SqlRegistry(vault, now, lambda: demo.service(settings)),
        vault=vault,
        throttle=make_throttle(now),
        refusals=Refusals(engine, now),
        now=now,
    )


def recognise_people(app: Flask) -> None:
    """Make the person of our own session Flask-Login's `current_user`, which the pages show.

    Flask-Login's own cookies are not used. While the directory is unavailable, the pages show no person. Code that
    makes a decision looks up the session itself.
    """
    manager = LoginManager(app)
    manager.session_protection = None  # "strong" trusts X-Forwarded-For

    @manager.request_loader
    def load_signed_in(_request: object) -> sessions.SignedInUser | None:
        try:
            return sessions.find_session(cookies.read(cookies.SESSION))
        except DirectoryUnavailable:
            return None


def bring_up_to_date(app: Flask) -> None:
    """Apply the migrations, and the services of IDP_CONFIG."""
    parts: Context = app.extensions["idp"]
    with app.app_context(), database.starting():
        if len(parts.settings.secret_keys) > 1:
            reencrypt(parts.vault)
        if isinstance(parts.services, SqlRegistry):
            made = parts.services.apply(parts.settings.services, managed=True)
            say(*cli_services.told_once(made), err=True)
            cli_services.print_warnings([definition.service for definition in parts.settings.services.values()])


def banner(settings: Settings) -> str:
    """Return the text that is printed at the start."""
    lines = [f"Lychgate identity provider at {settings.external_url}/"]
    if settings.demo:
        lines += [
            "  DEMO: IDP_SECRET_KEY is not set, so secrets were generated into",
            f"  {settings.instance} and only this machine can reach the program.",
            "  Set IDP_SECRET_KEY (openssl rand -base64 48) before real people use it.",
        ]
    return "\n".join(lines)


def _load(target: str) -> Callable[[], PersonDirectory]:
    module, _, name = target.partition(":")
    try:
        found: Callable[[], PersonDirectory] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsRefused([f"IDP_PEOPLE: {target} cannot be imported: {error}"]) from error
    return found
