"""Run the two programs in threads of this process, configured as an administrator would configure them.

They are the real programs, on real ports of this machine, with real databases in a folder. These things differ from
production: they use another server (lab/server.py), and a worker always reads a session from the database, never from a
cache. The databases are not synced to the disk, the identity provider has no housekeeping thread, and a test can decide
a sign-in (lab/in_process/scripted.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import idp
from idp import config as idp_config
from idp.context import Context
from idp.services_file import parse_services
from lab.in_process.scripted import ScriptedSignIn
from lab.in_process.snapshot import Snapshot, snapshot_of_gateway, snapshot_of_identity_provider
from lab.server import ServerThread
from sp import config as sp_config
from sp import create_app
from sp.components import Components
from sp.gateway import Gateway
from sp.outgoing_assertion.keys import AssertionKeys
from sp.policy.rules import parse_rules
from sp.routes import Routes
from sp.sample_app import create_welcome_app
from sp.sites.in_force import InForce, Rulebook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROVIDER = "corporate"  # the gateway's name for the identity provider
SERVICE = "gateway"  # the identity provider's name for the gateway


class Programs:
    """Both programs, from `start` to `stop`."""

    def __init__(self, folder: Path) -> None:
        self._sp_server, self._idp_server = ServerThread(self._ask_gateway), ServerThread(self._ask_identity_provider)
        self.sp_url, self.idp_url, self.key = self._sp_server.url, self._idp_server.url, secrets.token_urlsafe(48)
        self._own = create_app(sp_config.load(_environment("SP", folder / "sp", self.sp_url, SP_SESSION_CACHE="0")))
        self._idp = idp.create_app(idp_config.load(_environment("IDP", folder / "idp", self.idp_url)))
        self._core: Components = self._own.extensions["lychgate"]
        self._sample: WSGIApplication = create_welcome_app(self._core)
        self.configure_provider({})
        self.configure_service({})
        self._core.assertions.published()  # creates the key now, so that `reset` keeps it
        self.protect(self._sample)
        self.scripted = ScriptedSignIn(self)
        self._snapshots: list[Snapshot] = []

    @property
    def core(self) -> Components:
        """The components of the gateway."""
        found: Components = self._own.extensions["lychgate"]
        return found

    @contextmanager
    def in_identity_provider(self) -> Iterator[Context]:
        """Give access to the context of the identity provider."""
        with self._idp.app_context():
            yield self._idp.extensions["idp"]

    def start(self) -> None:
        """Begin to answer. `reset` returns to the data stored at this moment."""
        self._snapshots = [snapshot_of_gateway(self._core.database.engine), snapshot_of_identity_provider(self._idp)]
        self._sp_server.start()
        self._idp_server.start()

    def stop(self) -> None:
        """Finish, and close the databases."""
        self._sp_server.stop()
        self._idp_server.stop()
        self._core.housekeeping.finish()
        self._core.margins.flush()
        for snapshot in self._snapshots:
            snapshot.engine.dispose()

    def reset(self) -> None:
        """Return to the state of the start."""
        self._core.margins.flush()
        for snapshot in self._snapshots:
            snapshot.restore()
        self._core.sessions.forget()
        self.protect(self._sample)
        self.scripted = ScriptedSignIn(self)

    def protect(
        self, application: WSGIApplication, rules: Sequence[Mapping[str, Any]] = (), identity_headers: str = ""
    ) -> None:
        """Put *application* behind the gateway, with *rules* as in SP_CONFIG. Raises RulesRefused."""
        config = replace(
            self._core.config,
            rules=parse_rules([dict(rule) for rule in rules], Routes("")),
            identity_headers=identity_headers,
        )
        keys = AssertionKeys(self._core.database, self._core.vault)  # without a cached key that a reset removed
        rulebook = Rulebook(InForce.of(config.all_sites, config.host))
        self._own.extensions["lychgate"] = replace(self._core, config=config, assertions=keys, rulebook=rulebook)
        self._gateway = Gateway(application, self._own)

    def configure_provider(self, changes: Mapping[str, Any]) -> None:
        """Store the provider, with *changes* to the usual settings. Raises ProvidersRefused."""
        usual = {
            "preset": "strict",
            "display_name": "Corporate sign-in",
            "default": True,
            "keys": [self.key],
            "login_url": f"{self.idp_url}/login-token/",
            "logout_url": f"{self.idp_url}/logout",
            "issuer": {"expected": self.idp_url, "match": True, "required": True},
            "audience": {"expected": self.sp_url, "match": True, "required": True},
        }
        self._core.provider_store.apply({PROVIDER: {**usual, **changes}}, actor="lab")

    def configure_service(self, changes: Mapping[str, Any]) -> None:
        """Store the service, with *changes* to the usual settings. Raises SettingsRefused."""
        usual = {
            "preset": "lychgate",
            "display_name": "The gateway",
            "return_url": f"{self.sp_url}/sso/login/jwt",
            "keys": [self.key],
            "issuer": self.idp_url,
            "audience": self.sp_url,
            "backchannel_logout_url": f"{self.sp_url}/sso/logout/backchannel",
        }
        definitions = parse_services({"services": {SERVICE: {**usual, **changes}}}, "lab")
        with self.in_identity_provider() as parts:
            parts.services.apply(definitions)  # type: ignore[attr-defined]

    @contextmanager
    def identity_provider_down(self) -> Iterator[None]:
        """Let the identity provider's port refuse connections."""
        port = self._idp_server.port
        self._idp_server.stop()
        try:
            yield
        finally:
            self._idp_server = ServerThread(self._ask_identity_provider, port).start()

    def both(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request with the program that its Host header names, without the network."""
        ask = self._ask_gateway if environ["HTTP_HOST"] == self.sp_url.removeprefix("http://") else self._idp.wsgi_app
        return ask(environ, start_response)

    def _ask_gateway(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._gateway(environ, start_response)

    def _ask_identity_provider(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self.scripted.answer(environ)
        return (answer or self._idp.wsgi_app)(environ, start_response)


def _environment(prefix: str, folder: Path, url: str, **more: str) -> dict[str, str]:
    return {
        f"{prefix}_INSTANCE": str(folder),
        f"{prefix}_SECRET_KEY": secrets.token_urlsafe(48),
        f"{prefix}_EXTERNAL_URL": url,
        **more,
    }
