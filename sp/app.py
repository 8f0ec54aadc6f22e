"""Build the Flask application of the gateway's own URLs: sign-in, sign-out, settings, accounts."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import click
from flask import Flask
from flask.cli import FlaskGroup

from shared import demo, logs, request_limits, schema
from shared.cookies import form_cookie
from shared.errors import StoreUnavailable
from shared.lazy_rules import LazyRule
from shared.settings import SettingsRefused
from sp import config as settings
from sp.cli import install_commands
from sp.components import Components, build
from sp.config import Config
from sp.database import MIGRATIONS
from sp.database.access import Database
from sp.database.models import db
from sp.database.reencryption import reencrypt
from sp.providers.icons import icon_of
from sp.sessions.cookies import FORM_NAME, THEME_NAME, FormSessions
from sp.sites.access_file import AccessFile
from sp.sites.stored import stored_sites

TRANSLATIONS = Path(__file__).parent / "translations"

log = logging.getLogger("lychgate")


def create_app_in_force(refusal: SettingsRefused) -> Flask:
    """Return the application with the rules that were last in force, because the file of SP_CONFIG has errors.

    *refusal* has the errors. It is raised if no rules are stored, or if the error is not in the file.
    """
    try:
        config = settings.load_around_file()
    except SettingsRefused:
        raise refusal from None
    database = Database(schema.make_engine(config.database_url))
    try:
        with schema.starting(database.engine, "SP_DATABASE_URL", MIGRATIONS):
            sites = stored_sites(database)
    finally:
        database.engine.dispose()
    if config.file is None or sites is None:
        raise refusal
    access = AccessFile(sites[0].rules, sites[1:])
    return create_app(config.with_access(access), refusal)


def create_app(config: Config | None = None, rejected: SettingsRefused | None = None) -> Flask:
    """Return the Flask application of the gateway's own URLs, for `sp.gateway.Gateway`. Raises SettingsRefused.

    Bring the database up to date, and apply the operator's file. For a command, `_apply_file` does this later. If the
    file was *rejected*, it is not applied: *config* has the rules that were last in force, and the stored providers
    stay.
    """
    for_command = _only_a_command_is_looked_up()
    refusal = None
    if config is None:
        config, refusal = _settings_for_command() if for_command else (settings.load(), None)
        _warn_of_demo(config)
        if config.is_demo and not for_command and not config.url_is_guess:
            demo.announce(config.instance, sp_url=config.external_url)
    logs.install_log_redaction()
    app = Flask(__package__, static_folder=None)  # its templates are beside this module
    app.url_rule_class = LazyRule
    request_limits.install(app)
    app.config.update(
        SECRET_KEY=config.secret_keys[0],
        SECRET_KEY_FALLBACKS=list(config.secret_keys[1:]),
        **form_cookie(FORM_NAME, config.https),
        WTF_CSRF_SSL_STRICT=False,  # the gateway's pages suppress the Referer, and a token protects their forms
        WTF_CSRF_TIME_LIMIT=None,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=schema.engine_options(config.database_url, "SP_DATABASE_URL"),
    )
    app.session_interface = FormSessions()
    db.init_app(app)
    with app.app_context():
        engine = schema.prepare_engine(db.engine)
    core = build(config, Database(engine))
    app.extensions["lychgate"] = core
    with schema.starting(engine, "SP_DATABASE_URL", MIGRATIONS):
        if len(config.secret_keys) > 1:
            reencrypt(core.database, core.vault)
        if rejected is not None:
            core.reloader.begin_without_file(rejected)
        elif not for_command:
            core.reloader.begin()
    install_commands(app, before_others=partial(_apply_file, core, refusal) if for_command else None)
    if not for_command:
        _install_views(app, core)
    return app


def _settings_for_command() -> tuple[Config, SettingsRefused | None]:
    """Return the settings for a command, and the reason if the gateway would not start with them.

    The `config` commands work even if the file of SP_CONFIG has errors, because they report these errors. Raises
    SettingsRefused if other settings have errors.
    """
    try:
        return settings.load(), None
    except SettingsRefused as refusal:
        try:
            return settings.load(without_file=True), refusal
        except SettingsRefused:
            raise refusal from None


def _apply_file(core: Components, refusal: SettingsRefused | None) -> None:
    """Prepare for any command except `config`. Raises SettingsRefused.

    A command applies the providers of the operator's file only if no gateway has stored its rules in this database yet,
    and if the tests in the file do not fail. After that, only the gateway applies the file, because a command could
    apply a file that the gateway rejects, or a half-written file.
    """
    if refusal is not None:
        raise refusal
    with schema.starting(core.database.engine, "SP_DATABASE_URL", MIGRATIONS):
        if stored_sites(core.database) is None:
            core.reloader.begin_for_command()
        else:
            _tell_of_waiting_providers(core)


def _tell_of_waiting_providers(core: Components) -> None:
    stored = {item.provider.name for item in core.provider_store.load()}
    if waiting := sorted(core.config.document.get("providers", {}).keys() - stored):
        names = ", ".join(waiting)
        log.warning("SP_CONFIG names providers that are not in force: %s. The gateway applies the file", names)


def _only_a_command_is_looked_up() -> bool:
    """Tell whether `flask --app sp` builds this application only to find one of the gateway's commands.

    These commands need no pages, and loading all pages would take a third of a command's time. Flask's own commands
    (run, routes, shell) need the pages. They build the application later, when their own context is current.
    """
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.command, FlaskGroup)


def _warn_of_demo(config: Config) -> None:
    """Log the demo warning, because servers other than Lychgate's own do not print its banner."""
    if config.is_demo:
        log.warning(
            "DEMO: no SP_SECRET_KEY is set, so secrets were generated into %s. Set SP_SECRET_KEY and SP_EXTERNAL_URL "
            "before anyone else uses this; until then its URL is assumed to be %s",
            config.instance,
            config.external_url,
        )


def _install_views(app: Flask, core: Components) -> None:
    from shared import web
    from sp.admin import (
        activity as activity_page,
    )
    from sp.admin import (
        activity_stream as _,  # noqa: F401  adds its pages to those of activity
    )
    from sp.admin import (
        appointments,
        overview,
        policy,
        settings,
        trial,
        users,
    )
    from sp.admin import (
        keys as settings_keys,
    )
    from sp.admin import (
        provider as settings_provider,
    )
    from sp.views import (
        account,
        api,
        choice,
        denied,
        health,
        icons,
        jwks,
        metrics,
        questions,
        refusals,
        sign_out,
        sites,
        sso,
    )
    from sp.views import (
        sign_in as signin,
    )
    from sp.views.people import install_login
    from sp.views.sign_in_steps import SignInSteps
    from sp.views.site_pages import install_site_pages

    config = core.config
    install_site_pages(app)
    app.jinja_env.filters["icon"] = icon_of
    app.jinja_env.globals["remembered_provider"] = choice.remembered
    web.install(
        app,
        prefix=f"{config.prefix}/sso",
        https=config.https,
        branding=config.branding,
        theme_cookie=THEME_NAME,
        translations=[TRANSLATIONS],
        english_pages="sp/settings/",
        wants_json=refusals.wants_json,
    )
    install_login(app)
    pages = (
        account,
        overview,
        policy,
        settings,
        settings_provider,
        settings_keys,
        trial,
        users,
        appointments,
        activity_page,
    )
    if config.is_demo:
        from sp.views import tour

        app.register_blueprint(tour.views, url_prefix=config.prefix or None)
    for module in (
        sso,
        sites,
        choice,
        questions,
        refusals,
        signin,
        api,
        health,
        icons,
        jwks,
        sign_out,
        metrics,
        denied,
        *pages,
    ):
        app.register_blueprint(module.views, url_prefix=config.prefix or None)
    refusals.install_errors(app)
    app.wsgi_app = SignInSteps(app, core.rulebook)  # type: ignore[method-assign]
    app.register_error_handler(
        schema.DatabaseError, lambda error: refusals.refuse(StoreUnavailable(type(error).__name__))
    )
