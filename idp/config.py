"""Read the settings from the environment, a `.env` file and the services file, and report all errors at once.

Only this module knows where settings come from; all other modules get a frozen `Settings`. If IDP_SECRET_KEY is not
set, the program is a demo: it generates its secrets into the instance folder, and finds the URL of its gateway in the
same folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from idp.known_settings import NAMES
from idp.services_file import ServiceDefinition, parse_services
from shared import demo
from shared.branding import OURS, Branding, read_branding
from shared.settings import Environment, Network, SettingsRefused, is_loopback, read_toml
from shared.store_urls import database_mistake

SESSION_IDLE = 3600  # seconds; OWASP Session Management allows a few hours for a low-risk session
SESSION_LIFETIME = 43_200  # seconds: a working day; after that, the person types the password again
PEOPLE = f"{__package__}.stores.directory:open_directory"
ACTIVITY_DAYS = 90  # how long the audit is kept; 0 means for ever
STAY_SIGNED_IN = 2_592_000  # seconds: 30 days, for people who tick the box


@dataclass(frozen=True)
class Settings:
    """The operator's settings. Durations are in seconds, except `activity_days`. repr shows no secret."""

    instance: Path
    secret_keys: tuple[str, ...] = field(repr=False)
    database_url: str = field(repr=False)
    external_url: str
    trusted_proxies: tuple[Network, ...] = ()
    services: Mapping[str, ServiceDefinition] = field(default_factory=dict)
    services_file: Path | None = None
    people: str = PEOPLE
    session_idle: int = SESSION_IDLE
    session_lifetime: int = SESSION_LIFETIME
    stay_signed_in: int = STAY_SIGNED_IN
    activity_days: int = ACTIVITY_DAYS
    log: str = "text"
    branding: Branding = OURS
    demo: bool = False

    @property
    def https(self) -> bool:
        """Tell whether browsers reach this program over https, so that cookies may be Secure."""
        return self.external_url.startswith("https://")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process, or of *environ*, or raise SettingsRefused with every error."""
    values = _values() if environ is None else environ
    environment = NAMES.environment(values)
    instance = Path(environment.text("IDP_INSTANCE", "instance")).resolve()
    secret_key = environment.secret("IDP_SECRET_KEY")
    pair = None if secret_key or environment.mistakes else demo.read(instance)  # no demo if the key is unreadable
    services_file = environment.text("IDP_CONFIG")
    asked_for: set[str] = set()
    services = _services(environment, services_file, values, asked_for)
    environment.mistakes.extend(NAMES.unknown(values, asked_for))
    settings = Settings(
        instance=instance,
        secret_keys=(
            secret_key or (pair.idp_secret_key if pair else ""),
            *environment.secrets("IDP_SECRET_KEY_FALLBACKS"),
        ),
        database_url=_database_url(environment, instance),
        external_url=environment.origin("IDP_EXTERNAL_URL", pair.idp_url if pair else "http://127.0.0.1:5001"),
        trusted_proxies=environment.networks("IDP_TRUSTED_PROXIES"),
        services=services,
        services_file=Path(services_file).resolve() if services_file else None,
        people=_callable(environment, "IDP_PEOPLE", PEOPLE),
        session_idle=environment.whole("IDP_SESSION_IDLE", SESSION_IDLE, at_least=60),
        session_lifetime=environment.whole("IDP_SESSION_LIFETIME", SESSION_LIFETIME, at_least=60),
        stay_signed_in=environment.whole("IDP_STAY_SIGNED_IN", STAY_SIGNED_IN),
        activity_days=environment.whole("IDP_ACTIVITY_DAYS", ACTIVITY_DAYS),
        log=environment.choice("IDP_LOG", ("text", "json")),
        branding=read_branding(environment, "IDP_"),
        demo=pair is not None,
    )
    environment.finish()
    return settings


def log_format() -> str:
    """Return IDP_LOG. It is read before all other settings. `load` reports a value that is neither text nor json."""
    return _values().get("IDP_LOG", "").strip() or "text"


def load_to_serve(host: str, port: int) -> Settings:
    """Return the settings of a program that will listen on *host* and *port*.

    *port* becomes part of the default URL. This URL is put into the environment, because the workers are other
    processes, which inherit it. A demo tells its gateway its URL through the instance folder. It refuses a *host* that
    other machines can reach. Raises SettingsRefused.
    """
    if not _values().get("IDP_EXTERNAL_URL", "").strip():
        os.environ["IDP_EXTERNAL_URL"] = f"http://127.0.0.1:{port}"
    settings = load()
    if settings.demo:
        if not is_loopback(host):
            raise SettingsRefused(
                [f"IDP_SECRET_KEY is not set, so this is a demo, which cannot listen on {host}: set IDP_SECRET_KEY"]
            )
        demo.announce(settings.instance, idp_url=settings.external_url)
    return settings


def read_services_file(path: Path) -> Mapping[str, ServiceDefinition]:
    """Return the services that the TOML file at *path* defines, or raise SettingsRefused."""
    return parse_services(read_toml(path, _values().get), str(path))


def setting(name: str, default: str = "") -> str:
    """Return the value of an integrator's own setting, such as the URL of a directory server.

    If its name begins with IDP_, add it to known_settings.py. Raises SettingsRefused if the file of any secret setting
    cannot be used, even if it is not the file of this setting.
    """
    environment = NAMES.environment(_values())
    environment.finish()
    return environment.text(name, default)


def _values() -> dict[str, str]:
    """Return the values of the `.env` file in the current folder and of the environment, which takes precedence."""
    written = {name: value for name, value in dotenv_values(Path(".env")).items() if value is not None}
    return written | dict(os.environ)


def _database_url(environment: Environment, instance: Path) -> str:
    """Return the URL of the database; a relative SQLite path starts at the current folder."""
    url = environment.text("IDP_DATABASE_URL", f"sqlite:///{instance}/idp.sqlite3")
    if mistake := database_mistake(url):
        environment.mistake("IDP_DATABASE_URL", mistake)
    if url.startswith("sqlite:///"):
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).resolve()}"
    return url


def _services(
    environment: Environment, path: str, values: Mapping[str, str], asked_for: set[str]
) -> Mapping[str, ServiceDefinition]:
    """Return the services of IDP_CONFIG; add the names of the variables that it reads to *asked_for*."""
    if not path:
        return {}

    def look_up(name: str) -> str | None:
        asked_for.add(name)
        return values.get(name)

    try:
        return parse_services(read_toml(Path(path), look_up), path)
    except SettingsRefused as refusal:
        environment.mistakes.extend(refusal.mistakes)
        return {}


def _callable(environment: Environment, name: str, default: str) -> str:
    text = environment.text(name, default)
    module, _, function = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        environment.mistake(name, "must be module:function")
        return default
    return text


def demo_pair(settings: Settings) -> Any:
    """Read the secrets and URLs of the demo again, because the gateway's URL may have changed since the start."""
    return demo.read(settings.instance)
