"""Read the health of the providers from their settings, their keys, and the measurements of their sign-ins."""

from __future__ import annotations

import threading
import time

from shared.clock import time_now
from sp.activity import margin_rows
from sp.activity.forecast import LOOK_BACK
from sp.database.access import Database
from sp.diagnosis.health import ProviderHealth, judge
from sp.providers.apply import ProviderStore
from sp.providers.rows import StoredProvider

KEPT = 60.0  # seconds for which `lately` caches its result: a forecast takes some milliseconds for each provider


class HealthReader:
    """Reads the health of every provider, or of a single provider."""

    def __init__(self, database: Database, providers: ProviderStore) -> None:
        self._database, self._providers = database, providers
        self._lock = threading.Lock()
        self._lately: list[ProviderHealth] = []
        self._read_at = float("-inf")

    def now(self) -> list[ProviderHealth]:
        """Return the health of each provider, by name. Raises StoreUnavailable."""
        now = time_now()
        measured = margin_rows.since(self._database, now - LOOK_BACK)
        return [judge(stored, measured.get(stored.provider.name, {}), now) for stored in self._providers.load()]

    def of(self, stored: StoredProvider) -> ProviderHealth:
        """Return the health of one provider. Raises StoreUnavailable."""
        now = time_now()
        measured = margin_rows.since(self._database, now - LOOK_BACK, stored.provider.name)
        return judge(stored, measured.get(stored.provider.name, {}), now)

    def lately(self) -> list[ProviderHealth]:
        """Return the same as `now`, but up to KEPT seconds old, for callers that ask often. Raises StoreUnavailable."""
        with self._lock:
            if time.monotonic() - self._read_at >= KEPT:
                self._lately, self._read_at = self.now(), time.monotonic()
            return self._lately
