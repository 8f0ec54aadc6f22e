"""The gateway: verifies sign-in tokens, keeps sessions, and protects an application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask

from shared import demo, logs, request_limits, schema, web
from shared.errors import StoreUnavailable
from shared.private_files import exposures
from shared.settings import SettingsRefused
from sp import application
from sp import config as settings
from sp.config import Config
from sp.cookies import FormSessions
from sp.core import Core, build
from sp.models import db
from sp.rules import warnings
from sp.stores.provider_store import ProvidersRefused, ProviderStore
from sp.stores.redis_replay import RedisReplayCache
from sp.stores.resealing import reseal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MIGRATIONS = Path(__file__).parent / "migrations"
log = logging.getLogger("lychgate")


def create_app(config: Config | None = None) -> Flask:
    """Return the Flask application of the gateway's own addresses; `sp.gateway.Gateway` stands around it.

    Brings the database up to date and applies the operator's file. Raises SettingsRefused.
    """
    if config is None:
        config = settings.load()
        _warn_of_demo(config)
    logs.install_log_redaction()
    app = Flask(__name__, static_folder=None)
    request_limits.install(app)
    app.config.update(
        SECRET_KEY=config.secret_keys[0],
        SECRET_KEY_FALLBACKS=list(config.secret_keys[1:]),
        SESSION_COOKIE_NAME="__Host-sp_form" if config.https else "sp_form",
        SESSION_COOKIE_SECURE=config.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_SSL_STRICT=False,  # our pages send no Referer; the token in the form is what protects
        WTF_CSRF_TIME_LIMIT=None,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=schema.engine_options(config.database_url, "SP_DATABASE_URL"),
    )
    app.session_interface = FormSessions()
    db.init_app(app)
    with app.app_context():
        engine = schema.prepare_engine(db.engine)
    core = build(config, engine)
    app.extensions["lychgate"] = core
    with schema.starting(engine, "SP_DATABASE_URL", MIGRATIONS):
        if len(config.secret_keys) > 1:
            reseal(engine, core.vault)
        _apply_settings(core)
    _install_views(app, core)
    return app


def prepare(host: str, port: int) -> str:
    """Check every setting, bring the database up to date, and return the banner. Raises SettingsRefused.

    The protected application is left to the workers: it may start threads when it is imported.
    """
    config = settings.announce(host, port)
    _warn_of_clocks(create_app(config).extensions["lychgate"])
    for exposure in exposures(config.instance, config.database_url):
        log.warning("%s", exposure)
    lines = [f"Lychgate gateway on {config.external_url}{config.prefix}"]
    if config.is_demo:
        lines.append(f"DEMO: no SP_SECRET_KEY is set, so secrets were generated into {config.instance}.")
        lines.append("DEMO: for this machine only. Set SP_SECRET_KEY before anyone else is to use it.")
    lines += [f"Note: {warning}." for warning in warnings(config.rules)]
    return "\n".join(lines)


def _warn_of_demo(config: Config) -> None:
    """Say it in the log of the server that the gateway runs in, which prints no banner of ours."""
    if config.is_demo:
        log.warning(
            "DEMO: no SP_SECRET_KEY is set, so secrets were generated into %s. Set SP_SECRET_KEY and SP_EXTERNAL_URL "
            "before anyone else uses this; until then its address is taken to be %s",
            config.instance,
            config.external_url,
        )


def _warn_of_clocks(core: Core) -> None:
    """Write down whose clock differs from ours. A store that does not answer is for /readyz to report."""
    ask: list[Callable[[], str | None]] = [lambda: schema.clock_complaint(core.engine)]
    if isinstance(core.replay, RedisReplayCache):
        ask.append(core.replay.clock_complaint)
    for complaint in ask:
        with suppress(schema.DatabaseError, StoreUnavailable):
            if said := complaint():
                log.warning("%s", said)


def create_wsgi() -> WSGIApplication:
    """Return the gateway in front of the application that SP_APP names, or of the built-in page."""
    from sp.gateway import Gateway

    config = settings.load()
    own = create_app(config)
    return Gateway(_protected(config, own), own)


def _protected(config: Config, own: Flask) -> WSGIApplication:
    """Return the application to protect. Raises SettingsRefused."""
    if not config.app:
        from sp.welcome import create_welcome_app

        return create_welcome_app(own.extensions["lychgate"])
    return application.load(config.app)


def _apply_settings(core: Core) -> None:
    """Apply what the operator's file says of providers; make the demo's provider if there is no other."""
    document = core.config.document.get("providers", {})
    try:
        if core.config.has_file:
            applied = core.providers.apply(document, actor="SP_CONFIG", managed_by_file=True)
            for name, secret in applied.generated.items():
                print(f"A key was generated for the provider {name}. It is shown once:\n  {secret}", flush=True)
        if core.config.is_demo and not document:
            _apply_demo(core.providers, core.config)
    except ProvidersRefused as error:
        raise SettingsRefused([f"providers.{mistake}" for mistake in error.mistakes]) from error


def _apply_demo(providers: ProviderStore, config: Config) -> None:
    present = [item.provider for item in providers.load()]
    if any(provider.name == demo.PROVIDER for provider in present):
        return
    pair = demo.read(config.instance)
    demo_provider = {
        "display_name": "Demo sign-in",
        "default": not any(provider.default for provider in present),
        "keys": [pair.token_key],
        "login_url": f"{pair.idp_url}/login-token/",
        "logout_url": f"{pair.idp_url}/logout",
        "required_claims": ["iat", "jti", "exp"],
        "mapping": {"id": ["sub", "email"]},
    }
    providers.apply({demo.PROVIDER: demo_provider}, actor="demo")


def _install_views(app: Flask, core: Core) -> None:
    from sp.cli import install_commands
    from sp.views import (
        account,
        activity_page,
        api,
        health,
        jwks,
        logout_in,
        metrics,
        questions,
        refusals,
        settings,
        settings_keys,
        settings_provider,
        signin,
        sso,
        trial,
        turned_away,
        users,
    )
    from sp.views.people import install_login

    config = core.config
    web.install(app, prefix=f"{config.prefix}/sso", https=config.https, role="gateway")
    install_login(app)
    pages = (account, settings, settings_provider, settings_keys, trial, users, activity_page)
    for module in (sso, questions, refusals, signin, api, health, jwks, logout_in, metrics, turned_away, *pages):
        app.register_blueprint(module.views, url_prefix=config.prefix or None)
    refusals.install_errors(app)
    app.register_error_handler(
        schema.DatabaseError, lambda error: refusals.refuse(StoreUnavailable(type(error).__name__))
    )
    install_commands(app)
