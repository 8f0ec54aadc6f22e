"""Handle a replayed token: redirect the browser that already used it; reject everyone else."""

from __future__ import annotations

import hmac

from sp.activity import record as activity
from sp.current import components
from sp.sessions.store import hash_id
from sp.signin.pending import Pending
from sp.signin.replay import answer_key
from sp.views.people import browser_secret, browser_session


def landing_of_token(key: bytes, asked: list[Pending]) -> str | None:
    """Return where a second use of the token leads this browser, or None if it is not the browser that used it.

    A refresh, a back button and a double click send the token again. The browser that owns the session that the
    token opened, or the sign-in that it answered, is sent on; that opens nothing.
    """
    trace = components().sign_in.trace(key)
    if trace is not None and trace.return_path is None:
        trace = components().sign_in.trace(answer_key(key))  # it opened nothing, but the person may have been asked
    if trace is None or trace.return_path is None:
        return None
    if any(pending.nonce_hash == trace.pending_hash for pending in asked):
        return trace.return_path
    secret = browser_secret()
    if secret and trace.session_hash and hmac.compare_digest(hash_id(secret), trace.session_hash):
        return trace.return_path if browser_session() else None
    return None


def landing_of_refusal(reference: str) -> str | None:
    """Return where the token of a refusal leads this browser: a double click may outrun the cookie of the first."""
    if not reference:
        return None
    with components().database.reading() as connection:
        key = activity.token_key_of(connection, reference)
    return landing_of_token(key, []) if key else None
