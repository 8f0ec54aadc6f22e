"""What is written into the activity log although nobody was signed in: refusals of every kind, and sign-outs.

A sign-in's own line is part of its transaction (`sp.signin`). These stand alone, and a log that cannot be written does
not turn a refusal into something else. Neither a token nor a password is ever in a line.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import Rejection
from sp.provisioning import MAX_SUBJECT
from sp.sessions import Session
from sp.stores import activity
from sp.stores.activity import Visitor
from sp.stores.database import must_answer
from sp.verification import Verified

log = logging.getLogger("lychgate")


class Logbook:
    """Writes down what no sign-in does."""

    def __init__(self, engine: Engine) -> None:
        self._writing = engine.execution_options(write=True)

    def note_refusal(
        self,
        rejection: Rejection,
        visitor: Visitor,
        *,
        reference: str,
        provider: str | None = None,
        verified: Verified | None = None,
        key: bytes | None = None,
    ) -> None:
        """Write a refused token down, with what is known of it."""
        email = verified.claims.raw.get("email") if verified else None
        subject = verified.claims.subject if verified else None
        log.info("refused: %s, provider %s, reference %s: %s", rejection.code, provider, reference, rejection.detail)
        self._try_to_note(
            visitor,
            reference,
            code=rejection.code,
            provider=provider,
            subject=subject[:MAX_SUBJECT] if subject else None,
            email=email if isinstance(email, str) else None,
            detail=rejection.detail,
            token_key=key,
        )

    def note_local_refusal(
        self, email: str | None, visitor: Visitor, *, reference: str, detail: str, code: str | None
    ) -> None:
        """Write a refused local sign-in down."""
        log.info("refused: local sign-in, reference %s: %s", reference, detail)
        self._try_to_note(visitor, reference, code=code, email=email, detail=f"local sign-in: {detail}")

    def note_sign_out(self, session: Session, visitor: Visitor, *, reference: str) -> None:
        """Write a sign-out down. Raises StoreUnavailable."""
        with must_answer(), self._writing.begin() as connection:
            activity.record(
                connection,
                reference=reference,
                at=int(time.time()),
                event=activity.SIGN_OUT,
                visitor=visitor,
                provider=session.provider,
                email=session.email,
                account_id=session.account_id,
            )

    def _try_to_note(self, visitor: Visitor, reference: str, **known: Any) -> None:
        try:
            with self._writing.begin() as connection:
                activity.record(
                    connection,
                    reference=reference,
                    at=int(time.time()),
                    event=activity.REFUSED,
                    visitor=visitor,
                    **known,
                )
        except SQLAlchemyError as error:
            log.error("the refusal %s could not be written down: %s", reference, type(error).__name__)
