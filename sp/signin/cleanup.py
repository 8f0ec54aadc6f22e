"""Delete expired data: spent and held tokens, sessions, counters and old activity log entries.

Sign-ins and refusals trigger a clean-up. It runs in a separate thread, which ends when nothing is left to delete. So an
idle worker does no work, and a worker under load, or under attack, deletes fast enough.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from sqlalchemy.exc import IntegrityError

from shared.clock import time_now
from shared.errors import StoreUnavailable
from shared.rate_limit_storage import SqlStorage
from shared.tidying import Step, tidy
from sp.activity import retention
from sp.database.access import Database
from sp.sessions import held
from sp.sessions.store import SessionStore
from sp.signin import replay

EVERY = 60.0  # seconds between two runs of a worker
SOON = 1.0  # seconds between two runs after MUCH events, or if a run did not finish
MUCH = 50  # sign-ins and refusals since the last run
RUN_SECONDS = 10.0  # at most; the next run, SOON, deletes the rest

log = logging.getLogger("lychgate")


class Housekeeping:
    """Runs the clean-ups of one worker. *activity_days* is SP_ACTIVITY_DAYS."""

    def __init__(self, database: Database, sessions: SessionStore, counters: SqlStorage, activity_days: int) -> None:
        self._database = database
        self._sessions, self._counters, self._activity_days = sessions, counters, activity_days
        self._lock = threading.Lock()
        self._noted = 0
        self._last = time.monotonic()
        self._hurry = False
        self._thread: threading.Thread | None = None

    def note(self) -> None:
        """Count a sign-in or a refusal, and start a run if one is due."""
        with self._lock:
            self._noted += 1
            wait = SOON if self._hurry or self._noted >= MUCH else EVERY
            if self._thread is not None or time.monotonic() - self._last < wait:
                return
            self._noted = 0
            self._thread = threading.Thread(target=self._run, name="clean-up", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait for the current run, if there is one."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def clean_up(self, seconds: float = RUN_SECONDS) -> bool:
        """Delete expired data; return True if none is left. After a failure, the next run tries again."""
        try:
            return tidy(self._database.writing, self._steps(int(time_now())), seconds=seconds)
        except (StoreUnavailable, IntegrityError) as error:
            log.warning("clean-up failed, the next one will do it: %s", type(error).__name__)
            return True

    def _run(self) -> None:
        try:
            self._hurry = not self.clean_up()
        finally:
            with self._lock:
                self._last, self._thread = time.monotonic(), None

    def _steps(self, now: int) -> Sequence[Step]:
        return (
            partial(replay.clean_up, now),
            partial(held.clean_up, now),
            partial(self._sessions.clean_up, now),
            self._counters.forget_ended,
            *retention.steps(self._database, now, self._activity_days),
        )
