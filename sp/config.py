"""Read the gateway's settings from the environment, the `.env` file and TOML into frozen dataclasses.

Only this module reads settings from the process environment. If there are errors, it reports all of them at once, and
the gateway does not start. If only the file of SP_CONFIG has errors, it can start with the rules that were last in
force. It never guesses the operator's intention, because a wrong guess could open pages that should be protected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from shared import demo
from shared.branding import OURS, Branding, read_branding
from shared.keys import KeyRefused, load_key_set
from shared.private_files import make_private_folder
from shared.settings import Environment, Network, SettingsRefused, is_loopback, read_toml
from shared.store_urls import database_mistake, redis_mistake
from sp.known_settings import NAMES
from sp.policy.decision import Rule
from sp.policy.rule_tests import RuleTest
from sp.providers.icon_files import with_images
from sp.providers.setting_reader import ProviderRefused
from sp.providers.settings_parser import NAME, parse_provider
from sp.request.identity_headers import HEADER_SETS
from sp.request.trusted_proxies import OwnHost
from sp.routes import Routes
from sp.sites.access_file import AccessFile, parse_access
from sp.sites.parser import is_app
from sp.sites.site import HOME, Site

DEFAULT_PORT = 5000


@dataclass(frozen=True)
class Config:
    """The operator's settings. Seconds are integers.

    - `file` is the path of the file of SP_CONFIG, and `document` is its content with `env:` and `file:` texts resolved.
      `has_file` distinguishes an empty file from no file.
    - `rules` are the rules of the home site. `sites` are the further sites. `tests` are the operator's tests of all
      rules.
    - `url_is_guess` is true for a demo that has no external URL in its settings. It may in fact use another port.
    - `metrics_folder` is the folder where workers keep their counters. run_sp.py sets it for them.
    - `environ` returns the current environment variables.
    """

    instance: Path
    secret_keys: tuple[str, ...]
    database_url: str
    replay_url: str
    external_url: str
    trusted_proxies: tuple[Network, ...]
    app: str
    identity_headers: str
    seat_limit: int
    session_idle: int
    session_lifetime: int
    session_cache: int
    jwks_max_stale: int
    prefix: str
    rules: tuple[Rule, ...]
    document: Mapping[str, Any]
    is_demo: bool
    sign_in_on_401: bool = False
    metrics_folder: Path | None = None
    has_file: bool = False
    url_is_guess: bool = False
    activity_days: int = 90
    file: Path | None = None
    log: str = "text"
    branding: Branding = OURS
    sites: tuple[Site, ...] = ()
    tests: tuple[RuleTest, ...] = ()
    environ: Callable[[], Mapping[str, str]] = field(default=dict, repr=False, compare=False)

    @property
    def https(self) -> bool:
        """Whether people reach the gateway over https. If so, cookies are `Secure` and have the prefix `__Host-`."""
        return self.external_url.startswith("https:")

    @property
    def all_sites(self) -> tuple[Site, ...]:
        """Every site of the settings, home first."""
        home = Site(HOME, self.external_url, self.rules, self.app)
        return (home, *self.sites)

    @property
    def host(self) -> OwnHost:
        """The host of home."""
        return OwnHost(self.external_url, is_guess=self.url_is_guess)

    def with_access(self, access: AccessFile) -> Config:
        """Return these settings with the rules, sites and tests of another file."""
        return replace(self, rules=access.rules, sites=access.sites, tests=access.tests)


def load(environ: Mapping[str, str] | None = None, *, without_file: bool = False) -> Config:
    """Return the settings, or raise SettingsRefused with every error. Generate demo secrets if none are configured.

    With *without_file*, the file of SP_CONFIG is ignored. Then unknown variables are not reported either, because the
    file may use them.
    """
    values = _environment() if environ is None else environ
    env = NAMES.environment({**values, "SP_CONFIG": ""} if without_file else values)
    instance = Path(env.text("SP_INSTANCE", "instance")).absolute()
    secret_key = env.secret("SP_SECRET_KEY")
    is_demo = not secret_key and not env.mistakes  # if a configured key cannot be read, do not write demo secrets
    try:
        make_private_folder(instance)
        secret_key = demo.read(instance).sp_secret_key if is_demo else secret_key
    except OSError as error:
        env.mistake("SP_INSTANCE", f"is not a writable directory: {error.strerror}")
    prefix = _prefix(env)
    external_url = env.origin("SP_EXTERNAL_URL", f"http://127.0.0.1:{DEFAULT_PORT}")
    asked_for: set[str] = set()
    document = _document(env, values, Routes(prefix, external_url), asked_for)
    if not without_file:
        env.mistakes.extend(NAMES.unknown(values, asked_for))
    url_is_guess = is_demo and not env.text("SP_EXTERNAL_URL")
    access = _access(env, document, OwnHost(external_url, is_guess=url_is_guess), prefix)
    metrics = env.text("SP_METRICS_FOLDER")
    config = Config(
        instance=instance,
        secret_keys=(secret_key, *env.secrets("SP_SECRET_KEY_FALLBACKS")),
        database_url=_database_url(env, instance),
        replay_url=_replay_url(env),
        external_url=external_url,
        trusted_proxies=env.networks("SP_TRUSTED_PROXIES"),
        app=_app(env),
        identity_headers=env.choice("SP_IDENTITY_HEADERS", ("", *HEADER_SETS)),
        seat_limit=env.whole("SP_SEAT_LIMIT", 0),
        session_idle=env.whole("SP_SESSION_IDLE", 3600, at_least=1),
        session_lifetime=env.whole("SP_SESSION_LIFETIME", 43200, at_least=1),
        session_cache=env.whole("SP_SESSION_CACHE", 5),
        jwks_max_stale=env.whole("SP_JWKS_MAX_STALE", 86_400, at_least=300),
        prefix=prefix,
        rules=access.rules,
        document=document,
        is_demo=is_demo,
        sign_in_on_401=env.choice("SP_SIGN_IN_ON_401", ("no", "yes")) == "yes",
        metrics_folder=Path(metrics) if metrics else None,
        has_file=bool(env.text("SP_CONFIG")),
        url_is_guess=url_is_guess,
        activity_days=env.whole("SP_ACTIVITY_DAYS", 90),
        file=Path(env.text("SP_CONFIG")).absolute() if env.text("SP_CONFIG") else None,
        log=env.choice("SP_LOG", ("text", "json")),
        branding=read_branding(env, "SP_"),
        sites=access.sites,
        tests=access.tests,
        environ=_environment if environ is None else lambda: environ,
    )
    env.finish()
    return config


def load_around_file() -> Config:
    """Return the settings without the content of the file of SP_CONFIG, but with its path. Raises SettingsRefused."""
    config = load(without_file=True)
    file = config.environ().get("SP_CONFIG", "").strip()
    return replace(config, has_file=bool(file), file=Path(file).absolute() if file else None)


def log_format() -> str:
    """Return SP_LOG. It is read before all other settings. If its value is invalid, `load` reports this later."""
    return _environment().get("SP_LOG", "").strip() or "text"


def announce(host: str, port: int) -> Config:
    """Return the settings for a server that will listen on *host* and *port*, or raise SettingsRefused.

    If the settings have no external URL, it is set from *port*, for this process and its workers.
    """
    if not _environment().get("SP_EXTERNAL_URL", "").strip():
        os.environ["SP_EXTERNAL_URL"] = f"http://127.0.0.1:{port}"
    config = load()
    os.environ["SP_METRICS_FOLDER"] = str(_empty_folder(config.instance / f"metrics-{port}"))
    if config.is_demo:
        if not is_loopback(host):
            raise SettingsRefused([f"--host {host}: a demo (no SP_SECRET_KEY) listens on this machine only: 127.0.0.1"])
        demo.announce(config.instance, sp_url=config.external_url)
    return config


def _empty_folder(folder: Path) -> Path:
    """Create *folder*, delete the counters of earlier workers in it, and return it."""
    make_private_folder(folder)
    for suffix in ("counts", "rules", "differences"):
        for file in folder.glob(f"*.{suffix}"):
            file.unlink(missing_ok=True)
    return folder


def _environment() -> Mapping[str, str]:
    from_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    return {**from_file, **os.environ}


def _database_url(env: Environment, instance: Path) -> str:
    url = env.text("SP_DATABASE_URL", f"sqlite:///{instance / 'sp.sqlite3'}")
    if mistake := database_mistake(url):
        env.mistake("SP_DATABASE_URL", mistake)
    return url


def _replay_url(env: Environment) -> str:
    url = env.text("SP_REPLAY_URL")
    if mistake := redis_mistake(url):
        env.mistake("SP_REPLAY_URL", mistake)
    return url


def _app(env: Environment) -> str:
    target = env.text("SP_APP")
    if target and not is_app(target):
        env.mistake("SP_APP", "must be module:callable or module:factory()")
    return target


def _access(env: Environment, document: Mapping[str, Any], host: OwnHost, prefix: str) -> AccessFile:
    access, mistakes = parse_access(document, host, Routes(prefix))
    env.mistakes.extend(f"{env.text('SP_CONFIG')}: {mistake}" for mistake in mistakes)
    return access


def _prefix(env: Environment) -> str:
    prefix = "/" + env.text("SP_PREFIX").strip("/")
    if prefix == "/":
        return ""
    if not all(NAME.match(part) for part in prefix[1:].split("/")):
        env.mistake("SP_PREFIX", "must be a path of lower-case letters, digits, - and _, such as /gate")
    return prefix


def _document(env: Environment, values: Mapping[str, str], own: Routes, asked_for: set[str]) -> Mapping[str, Any]:
    """Return the content of the file of SP_CONFIG. Add the names of the variables that it uses to *asked_for*."""
    path = env.text("SP_CONFIG")
    if not path:
        return {}

    def look_up(name: str) -> str | None:
        asked_for.add(name)
        return values.get(name)

    try:
        document = _read(Path(path), look_up)
    except SettingsRefused as refusal:
        env.mistakes.extend(refusal.mistakes)
        return {}
    env.mistakes.extend(_document_mistakes(path, document, own))
    return document


def _read(path: Path, look_up: Callable[[str], str | None]) -> dict[str, Any]:
    """Return the content of a TOML file, with its `env:` and `file:` texts resolved. Raises SettingsRefused."""
    mistakes: list[str] = []
    document = with_images(read_toml(path, look_up), path.parent, mistakes)
    if mistakes:
        raise SettingsRefused([f"{path}: {mistake}" for mistake in mistakes])
    return document


def read_document(path: Path, own: Routes) -> dict[str, Any]:
    """Return the content of a TOML file in the format of SP_CONFIG, with its `env:` and `file:` texts resolved.

    The rules, sites and tests of the file are not parsed here. Raises SettingsRefused with every error in the rest.
    """
    document = _read(path, _environment().get)
    if mistakes := list(_document_mistakes(str(path), document, own)):
        raise SettingsRefused(mistakes)
    return document


def read_access(config: Config, path: Path) -> tuple[dict[str, Any], AccessFile]:
    """Return the present content of a file in the format of SP_CONFIG: the whole document, and its access part.

    The access part is the rules, sites and tests. Raises SettingsRefused with every error.
    """
    found = read_file(config, path)
    if mistakes := [*found.in_access, *found.in_providers]:
        raise SettingsRefused(mistakes)
    return found.document, found.access


@dataclass(frozen=True)
class ReadFile:
    """The content of a file in the format of SP_CONFIG, with its errors.

    `in_access` are the errors in rules, sites and tests. `in_providers` are the errors in providers, and unknown parts
    of the file.
    """

    document: dict[str, Any]
    access: AccessFile
    in_access: tuple[str, ...] = ()
    in_providers: tuple[str, ...] = ()


def read_file(config: Config, path: Path) -> ReadFile:
    """Return the content of a file, with the errors in its settings.

    Raises SettingsRefused if it is not readable TOML, or if an `env:` text, a `file:` text or an icon cannot be
    resolved.
    """
    document = _read(path, config.environ().get)
    access, mistakes = parse_access(document, config.host, Routes(config.prefix))
    of_providers = _document_mistakes(str(path), document, Routes(config.prefix, config.external_url))
    return ReadFile(document, access, tuple(f"{path}: {mistake}" for mistake in mistakes), tuple(of_providers))


def _document_mistakes(path: str, document: Mapping[str, Any], own: Routes) -> Iterator[str]:
    """Yield an error for each unknown part of a file in the format of SP_CONFIG, and the errors in its providers."""
    for name in sorted(document.keys() - {"rules", "providers", "sites", "tests"}):
        yield f"{path}: {name} is unknown: the file may contain [[rules]], [providers.*], [sites.*] and [[tests]]"
    for mistake in _provider_mistakes(document.get("providers", {}), own):
        yield f"{path}: {mistake}"


def _provider_mistakes(tables: object, own: Routes) -> Iterator[str]:
    """Yield the errors in providers, so that they are reported together with all other errors.

    `sp.providers.apply` validates the providers again when it stores them.
    """
    if not isinstance(tables, Mapping):
        yield "providers: write each provider as a separate table with the heading [providers.name]"
        return
    for name, settings in tables.items():
        where = f"providers.{name}"
        if not isinstance(settings, Mapping):
            yield f"{where}: must be a table"
            continue
        algorithm, short = settings.get("algorithm", "HS256"), settings.get("allow_short_secret") is True
        try:
            parse_provider(name, settings, own)
        except ProviderRefused as refusal:
            yield from (f"{where}.{setting}: {why}" for setting, why in refusal.mistakes.items())
            if "algorithm" in refusal.mistakes:
                continue
        keys = settings.get("keys", [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            yield f"{where}.keys: must be a list of strings"
            continue
        try:
            load_key_set(keys, algorithm, allow_short_secret=short)
        except KeyRefused as refusal:
            yield f"{where}.keys: {refusal}"
