"""How many passwords may be tried here, counted in our own database by all workers.

The limits, and why a stranger cannot lock anyone out with them, stand in shared/throttling.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from idp.stores.counters import storage
from shared import throttling
from shared.throttling import PER_ACCOUNT as PER_ACCOUNT
from shared.throttling import PER_ADDRESS as PER_ADDRESS
from shared.throttling import PER_DEVICE as PER_DEVICE
from shared.throttling import TooManyAttempts as TooManyAttempts
from shared.throttling import account_key as account_key
from shared.throttling import network_of as network_of


class Throttle(throttling.Throttle):
    """The throttle over this program's counters."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__(storage(now), now)
