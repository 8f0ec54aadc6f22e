"""Rows that have run out: spent tokens and sessions go a hundred at a time, now and then, after a sign-in."""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from sp import replay
from sp.sessions import SessionStore

CLEAN_UP_EVERY = 50  # sign-ins of a worker

log = logging.getLogger("lychgate")


class Housekeeping:
    """Counts the sign-ins of a worker, and cleans up after every fiftieth."""

    def __init__(self, engine: Engine, sessions: SessionStore) -> None:
        self._writing = engine.execution_options(write=True)
        self._sessions = sessions
        self._sign_ins = 0
        self._lock = threading.Lock()

    def note_sign_in(self) -> None:
        """Count one more. A clean-up that fails is nobody's trouble: the next one will do it."""
        with self._lock:
            self._sign_ins += 1
            if self._sign_ins % CLEAN_UP_EVERY:
                return
        now = int(time.time())
        try:
            with self._writing.begin() as connection:
                replay.clean_up(connection, now)
                self._sessions.clean_up(connection, now, replay.CLEAN_UP_ROWS)
        except SQLAlchemyError as error:
            log.warning("clean-up failed, the next one will do it: %s", type(error).__name__)
