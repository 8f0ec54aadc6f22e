"""What a worker does beside answering: retry sign-out notices, and forget what is over.

One quiet thread in each worker; the database decides which of them does what (outbox.claim), so any number may run.
It is a daemon, so it never holds up the end of the program: an interrupted delivery is taken up again by another.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from flask import Flask

from idp import backchannel
from idp.parts import parts
from idp.stores import audit, counters, outbox, sessions

EVERY = 2.0  # seconds between two looks at the outbox
TIDY_EVERY = 150  # looks between two clean-ups: five minutes
AT_A_TIME = 100  # rows: so that a clean-up never keeps a sign-in waiting
KEEP_AUDIT_DAYS = 400  # a year and a month, so that last year's can be compared

log = logging.getLogger("lychgate.idp")


def start(app: Flask) -> threading.Event:
    """Begin, and return the event that ends it."""
    stop = threading.Event()
    threading.Thread(target=_run, args=(app, stop), name="housekeeping", daemon=True).start()
    return stop


def retry_notices() -> None:
    """Deliver every notice that is due."""
    backchannel.deliver(outbox.due())


def tidy() -> None:
    """Forget ended sessions and counts, and the oldest of the audit."""
    sessions.forget_ended(AT_A_TIME)
    with counters.independent_transaction() as connection:
        parts().throttle.storage.forget_ended(connection, AT_A_TIME)
    audit.forget_before(parts().now() - timedelta(days=KEEP_AUDIT_DAYS), AT_A_TIME)


def _run(app: Flask, stop: threading.Event) -> None:
    looks = 0
    while not stop.wait(EVERY):
        looks += 1
        with app.app_context():
            try:
                retry_notices()
                if looks % TIDY_EVERY == 0:
                    tidy()
            except Exception:  # the thread must outlive a mistake, or notices would never be retried
                log.exception("housekeeping failed")
