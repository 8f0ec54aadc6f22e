"""Store the sign-out notices for services in the database until they are delivered or dropped.

Any worker may deliver a notice, and `claim` gives the notice to one worker at a time. If this worker dies, its claim
ends after CLAIM_SECONDS, and another worker delivers the notice.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from idp.context import context
from idp.models import LogoutDeliveryRow, db, writing
from idp.services import ServiceUnknown
from idp.stores import audit

CLAIM_SECONDS = 30
RETRY_AFTER = (5, 30, 120, 600, 3600, 14_400)  # seconds; after the last attempt a notice is dropped


@dataclass(frozen=True)
class Notice:
    """A notice to *service* that the session *sid* of *subject* ended. If *sid* is empty, all of their sessions ended.

    *claims* name the person as the service's sign-in tokens did.
    """

    id: str
    service: str
    subject: str
    sid: str
    claims: Mapping[str, str]
    attempts: int


def note(session: Session, service: str, subject: str, sid: str, claims: Mapping[str, str]) -> str | None:
    """Add a notice to *service*, in the transaction of *session*; return the notice's id.

    Returns None if the service has no back-channel URL, or was removed.
    """
    try:
        if not context().services.find(service).backchannel_logout_url:
            return None
    except ServiceUnknown:
        return None
    row = LogoutDeliveryRow(
        id=uuid.uuid4().hex,
        service=service,
        subject=subject,
        sid=sid,
        claims=dict(claims),
        attempts=0,
        due_at=context().now(),
    )
    session.add(row)
    return row.id


def due(limit: int = 20) -> list[str]:
    """Return the ids of notices that are due and not claimed by a worker."""
    now = context().now()
    query = select(LogoutDeliveryRow.id).where(LogoutDeliveryRow.due_at <= now, _free(now))
    ids = list(db.session.scalars(query.order_by(LogoutDeliveryRow.due_at).limit(limit)))
    db.session.rollback()
    return ids


def claim(notice_id: str) -> Notice | None:
    """Return the notice for this worker to deliver, or None if another worker has it or it is gone.

    This function MUST be atomic.
    """
    now = context().now()
    with writing() as session:
        claimed = session.execute(
            update(LogoutDeliveryRow)
            .where(LogoutDeliveryRow.id == notice_id, _free(now))
            .values(claimed_until=now + timedelta(seconds=CLAIM_SECONDS))
            .returning(
                LogoutDeliveryRow.id,
                LogoutDeliveryRow.service,
                LogoutDeliveryRow.subject,
                LogoutDeliveryRow.sid,
                LogoutDeliveryRow.claims,
                LogoutDeliveryRow.attempts,
            )
        ).one_or_none()
    return None if claimed is None else Notice(*claimed)


def delivered(notice: Notice, answer: str) -> None:
    """Delete the notice; *answer* is recorded as its outcome."""
    with writing() as session:
        session.execute(delete(LogoutDeliveryRow).where(LogoutDeliveryRow.id == notice.id))
        audit.record(session, "service_told", service=notice.service, detail=answer)


def dropped(notice: Notice, why: str) -> None:
    """Delete a notice that cannot be delivered, because the service was removed."""
    with writing() as session:
        session.execute(delete(LogoutDeliveryRow).where(LogoutDeliveryRow.id == notice.id))
        audit.record(session, "service_given_up", service=notice.service, detail=why)


def failed(notice: Notice, why: str) -> bool:
    """Postpone the notice, and return True. After the last attempt, delete the notice, and return False."""
    again = notice.attempts < len(RETRY_AFTER)
    with writing() as session:
        this = LogoutDeliveryRow.id == notice.id
        if again:
            due_at = context().now() + timedelta(seconds=RETRY_AFTER[notice.attempts])
            session.execute(
                update(LogoutDeliveryRow)
                .where(this)
                .values(attempts=notice.attempts + 1, due_at=due_at, claimed_until=None)
            )
        else:
            session.execute(delete(LogoutDeliveryRow).where(this))
        event = "service_not_told" if again else "service_given_up"
        audit.record(session, event, service=notice.service, detail=why)
    return again


def _free(now: datetime) -> ColumnElement[bool]:
    return or_(LogoutDeliveryRow.claimed_until.is_(None), LogoutDeliveryRow.claimed_until <= now)
