"""Record events, so that an operator can find out who signed in to which service, and when.

Every entry is a row in the database and a line of the log. Both name a token by its jti and never contain it. A
stranger can cause some events without limit. Such an event gets only a log line, or is counted in a row that it shares
with others (`refused`). Logs are rotated, but a table without a limit could fill the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flask import has_request_context, request
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from idp.context import context
from idp.models import AuditRow, db, writing

log = logging.getLogger("lychgate.idp")


def record(
    session: Session, event: str, *, email: str = "", service: str = "", token_id: str = "", detail: str = ""
) -> None:
    """Add an entry to the transaction of *session* (see models.writing), and write the log line."""
    row = AuditRow(
        at=context().now(),
        event=event,
        email=_printable(email, 254),
        service=service,
        address=_ip(),
        token_id=token_id,
        detail=_printable(detail, 200),
    )
    session.add(row)
    note(event, email=row.email, service=service, token_id=token_id, detail=row.detail)


def refused(event: str, *, email: str = "", service: str = "") -> None:
    """Record a rejection as a row and a log line.

    If rejections come too fast, write the log line and count the rejection, and add no row.
    """
    if context().refusals.in_full(event, email, service):
        with writing() as session:
            record(session, event, email=email, service=service)
    else:
        note(event, email=email, service=service, detail="counted")


def note(event: str, *, email: str = "", service: str = "", token_id: str = "", detail: str = "") -> None:
    """Write only the log line."""
    words = (_printable(word, 254) or "-" for word in (email, service, _ip(), token_id))
    text = "%s email=%s service=%s address=%s jti=%s %s"
    log.info(text, event, *words, _printable(detail, 200), extra={"event": event})


def we_issued(token_id: str) -> bool:
    """Tell whether a token with this id was issued here."""
    return bool(db.session.scalar(select(exists().where(AuditRow.token_id == token_id))))


def services_of(email: str) -> set[str]:
    """Return the names of the services for which this person got a token, as far back as the audit goes."""
    query = select(AuditRow.service).distinct().where(AuditRow.event == "token_issued", AuditRow.email == email)
    return set(db.session.scalars(query))


def latest(count: int, email: str = "") -> Sequence[AuditRow]:
    """Return the latest entries, newest first. If *email* is given, return only the entries of this person."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(count)
    return db.session.scalars(query.where(func.lower(AuditRow.email) == func.lower(email)) if email else query).all()


def _ip() -> str:
    return (request.remote_addr or "")[:45] if has_request_context() else ""


def _printable(text: str, length: int) -> str:
    """Return *text*, which a stranger may have typed, in at most *length* characters that are safe in a log line."""
    return "".join(c if c.isprintable() else "?" for c in text[:length])
