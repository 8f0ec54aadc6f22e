"""Build the gateway's components, once in each process. `sp.current` gives access to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from shared import demo
from shared.known_browsers import KnownBrowsers
from shared.vault import Vault
from sp.accounts.administrators import Administrators
from sp.accounts.manage import People
from sp.accounts.personal_data import PersonalData
from sp.accounts.search import PeopleFinder
from sp.activity.margin_rows import MarginBook
from sp.activity.trace import Explained
from sp.config import Config
from sp.database.access import Database
from sp.diagnosis.explained import explain
from sp.diagnosis.provider_health import HealthReader
from sp.diagnosis.trials import Trials
from sp.metrics_counters import counters
from sp.outgoing_assertion.keys import AssertionKeys
from sp.providers.apply import ProviderStore
from sp.providers.edit import ProviderEditor
from sp.providers.jwks_cache import SqlKeyCopies
from sp.providers.of_file import apply_file
from sp.providers.opened_sessions import ProviderSessions
from sp.providers.provider import Provider
from sp.providers.registry import ProviderRegistry
from sp.providers.setting_reader import Expectation
from sp.reloading import Reloader
from sp.routes import Routes
from sp.rule_counters import RuleCounts
from sp.sessions.held import HeldTokens
from sp.sessions.listing import SessionFinder
from sp.sessions.store import SessionStore
from sp.signin.cleanup import Housekeeping
from sp.signin.evidence import Evidence
from sp.signin.local_password import LocalSignIn
from sp.signin.logbook import Logbook
from sp.signin.pending import PendingSignIns
from sp.signin.questions import Questions
from sp.signin.recent_landings import Landings
from sp.signin.redis_replay import RedisReplayCache
from sp.signin.remembered_provider import RememberedProviders
from sp.signin.replay import ReplayCache, SqlReplayCache
from sp.signin.throttling import make_throttle
from sp.signin.transaction import SignIn
from sp.signout.incoming import SignOuts
from sp.signout.outgoing import OwnSignOuts
from sp.sites.hand_overs import HandOvers
from sp.sites.in_force import InForce, Rulebook
from sp.sites.landing import SiteLanding
from sp.sites.stored import record as record_in_force
from sp.sites.tickets import SiteTickets


@dataclass(frozen=True)
class Components:
    """The components that views, commands and the gateway use."""

    config: Config
    database: Database
    vault: Vault
    routes: Routes
    rulebook: Rulebook
    reloader: Reloader
    rule_counts: RuleCounts
    provider_store: ProviderStore
    provider_editor: ProviderEditor
    provider_registry: ProviderRegistry
    replay: ReplayCache
    assertions: AssertionKeys
    sessions: SessionStore
    session_finder: SessionFinder
    provider_sessions: ProviderSessions
    sign_in: SignIn
    held: HeldTokens
    logbook: Logbook
    sign_outs: SignOuts
    own_sign_outs: OwnSignOuts
    pending: PendingSignIns
    questions: Questions
    landings: Landings
    hand_overs: HandOvers
    tickets: SiteTickets
    site_landing: SiteLanding
    remembered_providers: RememberedProviders
    housekeeping: Housekeeping
    margins: MarginBook
    people: People
    administrators: Administrators
    personal_data: PersonalData
    local_sign_in: LocalSignIn
    account_search: PeopleFinder
    trials: Trials
    explain: Callable[[Evidence], Explained]
    health: HealthReader


def build(config: Config, database: Database) -> Components:
    """Return the components, built according to *config*."""
    if config.metrics_folder:
        counters.share(config.metrics_folder)
    vault = Vault(config.secret_keys)
    routes = Routes(config.prefix, config.external_url, config.is_demo)
    providers = ProviderStore(database, vault, routes)
    registry = ProviderRegistry(
        providers,
        vault,
        copies=SqlKeyCopies(database, vault),
        cache=config.session_cache,
        jwks_max_stale=config.jwks_max_stale,
        adjust=_demo_adjuster(config),
    )
    replay: ReplayCache = RedisReplayCache(config.replay_url) if config.replay_url else SqlReplayCache(database.dialect)
    sessions = SessionStore(
        database, idle=config.session_idle, lifetime=config.session_lifetime, cache=config.session_cache
    )
    finder = SessionFinder(database, idle=config.session_idle, lifetime=config.session_lifetime)
    throttle = make_throttle(database)
    housekeeping = Housekeeping(database, sessions, throttle.storage, config.activity_days)
    margins = MarginBook(database)
    sign_in = SignIn(database, replay, sessions, providers, config.seat_limit, housekeeping, margins)
    logbook = Logbook(database, housekeeping, registry.secrets)
    people = People(database, sessions, config.seat_limit)
    devices = KnownBrowsers(config.secret_keys, "lychgate device")
    rulebook = Rulebook(InForce.of(config.all_sites, config.host))

    def apply_providers(document: Mapping[str, Any], removes: bool) -> None:
        demo_in = config.instance if config.is_demo else None
        apply_file(providers, document, has_file=config.has_file, demo_in=demo_in, removes=removes)
        registry.forget()

    reloader = Reloader(
        config, rulebook, find=people.find, apply=apply_providers, record=partial(record_in_force, database)
    )  # fmt: skip
    return Components(
        config=config,
        database=database,
        vault=vault,
        routes=routes,
        rulebook=rulebook,
        reloader=reloader,
        rule_counts=RuleCounts(config.metrics_folder),
        provider_store=providers,
        provider_editor=ProviderEditor(database, vault, routes, changed=registry.forget),
        provider_registry=registry,
        replay=replay,
        assertions=AssertionKeys(database, vault),
        sessions=sessions,
        session_finder=finder,
        provider_sessions=ProviderSessions(database, sessions),
        sign_in=sign_in,
        held=HeldTokens(database),
        logbook=logbook,
        sign_outs=SignOuts(database, replay, sessions, registry, config.external_url),
        own_sign_outs=OwnSignOuts(sessions, finder, registry, logbook, config.external_url),
        pending=PendingSignIns(config.secret_keys, https=config.https),
        questions=Questions(config.secret_keys),
        landings=Landings(config.secret_keys, https=config.https),
        hand_overs=HandOvers(config.secret_keys, https=config.https),
        tickets=SiteTickets(config.secret_keys),
        site_landing=SiteLanding(database, replay, sessions, housekeeping),
        remembered_providers=RememberedProviders(config.secret_keys, https=config.https),
        housekeeping=housekeeping,
        margins=margins,
        people=people,
        administrators=Administrators(database, sessions),
        personal_data=PersonalData(database, sessions),
        local_sign_in=LocalSignIn(people, throttle, devices, sign_in, logbook),
        account_search=PeopleFinder(database),
        trials=Trials(database, replay, config.seat_limit, registry.secrets),
        explain=explain,
        health=HealthReader(database, providers),
    )


def _demo_adjuster(config: Config) -> Callable[[Provider], Provider]:
    def adjust(provider: Provider) -> Provider:
        if not config.is_demo or provider.name != demo.PROVIDER:
            return provider
        pair = demo.read(config.instance)
        return replace(
            provider,
            login_url=f"{pair.idp_url}/login-token/",
            logout_url=f"{pair.idp_url}/logout",
            audience=Expectation(pair.sp_url),
        )

    return adjust
