"""Write the activity log: a row for each sign-in (accepted or rejected), hand-over, restart, question and sign-out.

It never contains a token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any

from sqlalchemy import Connection, insert, select

from shared.tokens import redact
from sp.activity.cleaning import REDACTED, storable
from sp.activity.packing import pack
from sp.activity.trace import Facts
from sp.database.models import Activity
from sp.database.prepared import Prepared
from sp.events import HAND_OVER as HAND_OVER
from sp.events import HELD as HELD  # exported with `record`, which accepts these events
from sp.events import REFUSED as REFUSED
from sp.events import RESTART as RESTART
from sp.events import SIGN_IN as SIGN_IN
from sp.events import SIGN_OUT as SIGN_OUT
from sp.events import TRIAL as TRIAL
from sp.events import WRONG_PASSWORD as WRONG_PASSWORD
from sp.metrics_counters import counters

MAX_SUBJECT = 512  # characters
MAX_TRACE = 4096  # bytes of a trace in the database, for an event that a stranger cannot cause

_table: Any = Activity.__table__
_SMALL_LETTERS = {ord(letter): ord(letter.lower()) for letter in ascii_uppercase}
_RECORD: Prepared[Any] = Prepared(insert(_table).inline())


@dataclass(frozen=True)
class Visitor:
    """The origin of a request, how it delivered a token, the names of its cookies, and its ID in the log."""

    ip: str = ""
    user_agent: str = ""
    delivery: str = "none"
    cookies: tuple[str, ...] = ()
    request_id: str | None = None


@dataclass(frozen=True)
class Entry:
    """One row to record. `at` is in seconds since 1970. `detail` is not cleaned yet, so it may contain a token.

    `trace` is the result of `trace_of`.
    """

    reference: str
    at: int
    event: str
    visitor: Visitor
    code: str | None = None
    provider: str | None = None
    subject: str | None = None
    email: str | None = None
    account_id: int | None = None
    detail: str | None = None
    token_key: bytes | None = None
    trace: bytes | None = None


def trace_of(visitor: Visitor, facts: Facts, limit: int = MAX_TRACE) -> bytes | None:
    """Return *facts*, which must be clean, and the facts about *visitor*, packed in at most *limit* bytes."""
    facts = replace(facts, delivery=visitor.delivery, cookies=visitor.cookies, request_id=visitor.request_id)
    return pack(facts, limit)


def record(connection: Connection, line: Entry) -> None:
    """Insert one row within the caller's transaction.

    Characters that databases reject are escaped, because strangers may send them.
    """
    counters.event(line.event, line.code)
    values = {name: value for name, value in vars(line).items() if name != "visitor"}
    cleaned = {
        "email": searched_as(line.email) if line.email else None,
        "subject": storable(line.subject)[:MAX_SUBJECT] if line.subject else line.subject,
        "address": storable(line.visitor.ip)[:45],
        "user_agent": storable(line.visitor.user_agent)[:200],
        "detail": storable(redact(line.detail))[:1000] if line.detail else None,
    }
    _RECORD.run(connection, values | cleaned)


def searched_as(email: str) -> str:
    """Return *email* as the log stores and searches it: A-Z in lower case, any other letter unchanged.

    If more letters were changed, an attacker's e-mail could look like the imitated e-mail.
    """
    return storable(email)[:254].translate(_SMALL_LETTERS)


def restarted_in_vain(connection: Connection, provider: str, subject: str, since: int) -> bool:
    """Tell whether a sign-in of this person was restarted after *since*, with no sign-in or question after it.

    *subject* has the form of the log (see `clean_id`). The usual reason is a browser that does not return cookies. Such
    a browser would be redirected for ever.
    """
    last = connection.execute(
        select(_table.c.event)
        .where(_table.c.provider == provider, _table.c.subject == subject, _table.c.at >= since)
        .where(_table.c.event.in_((SIGN_IN, RESTART, HELD)))
        .order_by(_table.c.at.desc(), _table.c.id.desc())
        .limit(1)
    ).scalar()
    return bool(last == RESTART)


def first_use_of(connection: Connection, provider: str, subject: str, key: bytes, since: int) -> Any:
    """Return the reference, time and IP of the first line with this token after *since*, or None.

    The line may have REDACTED in place of an ID that contains a secret. Then *key* identifies the token.
    """
    kept = (storable(subject)[:MAX_SUBJECT], REDACTED)
    return connection.execute(
        select(_table.c.reference, _table.c.at, _table.c.address)
        .where(_table.c.provider == provider, _table.c.subject.in_(kept), _table.c.at >= since)
        .where(_table.c.token_key == key)
        .order_by(_table.c.at)
        .limit(1)
    ).first()


def token_key_of(connection: Connection, reference: str) -> bytes | None:
    """Return the key of the token in the row with *reference*, or None."""
    key: bytes | None = connection.execute(select(_table.c.token_key).where(_table.c.reference == reference)).scalar()
    return key
