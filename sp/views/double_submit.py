"""Handle a replayed token: redirect the browser that already used it, and reject every other client."""

from __future__ import annotations

import hmac

from sp.activity import record as activity
from sp.current import components
from sp.sessions.store import hash_id
from sp.signin.pending import Pending
from sp.signin.replay import answer_key
from sp.views.people import browser_secret, browser_session


def landing_of_token(key: bytes, started: list[Pending]) -> str | None:
    """Return where to redirect this browser after a second use of the token, or None if it is not redirected.

    A page refresh, the back button or a double click sends the token again. The browser is redirected only if it has
    the session that the token opened, and this session is still valid, or the pending sign-in that the token answered.
    No new session is opened.
    """
    use = components().sign_in.first_use(key)
    if use is not None and use.return_path is None:
        use = components().sign_in.first_use(answer_key(key))  # the person may have confirmed the question
    if use is None or use.return_path is None:
        return None
    if any(pending.nonce_hash == use.pending_hash for pending in started):
        return use.return_path
    secret = browser_secret()
    if secret and use.session_hash and hmac.compare_digest(hash_id(secret), use.session_hash):
        return use.return_path if browser_session() else None
    return None


def landing_of_refusal(reference: str) -> str | None:
    """Return where to redirect a browser whose token was refused as replayed, or None.

    After a double click, the second request may be sent before the cookie of the first answer has arrived.
    """
    if not reference:
        return None
    with components().database.reading() as connection:
        key = activity.token_key_of(connection, reference)
    return landing_of_token(key, []) if key else None
