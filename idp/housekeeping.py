"""Run the background work of a worker: retry sign-out notices, and delete expired data.

Each worker has one thread for this work. The threads claim their work in the database (outbox.claim), so any number of
workers may run. They are daemon threads, so they do not delay the end of the program. If a worker ends during a
delivery, another worker repeats the delivery.
"""

from __future__ import annotations

import logging
import threading

from flask import Flask

from idp import backchannel
from idp.stores import database, outbox, rate_limit_storage, retention
from shared import tidying

EVERY = 2.0  # seconds between two looks at the outbox
TIDY_EVERY = 30  # looks between two clean-ups: a minute
TIDY_SECONDS = 2.0  # at most for one clean-up; the next one continues with the rest

log = logging.getLogger("lychgate.idp")


def start(app: Flask) -> threading.Event:
    """Start the thread, and return the event that stops it."""
    stop = threading.Event()
    threading.Thread(target=_run, args=(app, stop), name="housekeeping", daemon=True).start()
    return stop


def retry_notices() -> None:
    """Deliver every notice that is due."""
    backchannel.deliver(outbox.due())


def tidy(seconds: float = TIDY_SECONDS) -> bool:
    """Delete ended sessions, counters and old audit entries; tell whether all was deleted."""
    return tidying.tidy(rate_limit_storage.independent_transaction, retention.steps(), seconds=seconds)


def _run(app: Flask, stop: threading.Event) -> None:
    looks, all_tidy = 0, True
    while not stop.wait(EVERY):
        looks += 1
        with app.app_context():
            try:
                retry_notices()
                if looks % TIDY_EVERY == 0 or not all_tidy:
                    all_tidy = tidy()
            except database.DatabaseDown as error:
                log.warning("housekeeping waits for the database: %s", error.orig)
            except Exception:  # the thread must survive an error, or notices would never be retried
                log.exception("housekeeping failed")
