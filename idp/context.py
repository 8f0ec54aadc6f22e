"""Hold the objects that the views use; `create_app` builds them once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import current_app

from idp.config import Settings
from idp.people import Person, PersonDirectory
from idp.services import Service, ServiceRegistry
from idp.stores.refusals import Refusals
from shared.throttling import Throttle
from shared.vault import Vault


@dataclass(frozen=True)
class Context:
    """The objects that the views use.

    `people` and `services` may be the integrator's own. `vault` encrypts stored keys, `throttle` limits password
    attempts, and `refusals` counts rejections. `now` is the clock, which tests can set.
    """

    settings: Settings
    people: PersonDirectory
    services: ServiceRegistry
    vault: Vault
    throttle: Throttle
    refusals: Refusals
    now: Callable[[], datetime]  # aware, in UTC

    def offered(self, person: Person | None) -> list[Service]:
        """Return the services that *person* may open.

        If *person* is None, return the services that are open to everyone.
        """
        return [s for s in self.services.all() if (s.admits(person) if person else not s.groups)]


def context() -> Context:
    """Return the context of the current application."""
    return cast(Context, current_app.extensions["idp"])
