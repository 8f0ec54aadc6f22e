"""Say how a session is to be opened: for which browser or client, and what comes with it."""

from __future__ import annotations

from dataclasses import dataclass

from sp.activity.record import Visitor
from sp.sessions.store import BROWSER


@dataclass(frozen=True)
class Opening:
    """What a sign-in needs besides the proof of who the person is. `reference` identifies its line in the activity log.

    `pending_hash` is the hash of the pending sign-in's nonce, if the token answers one. With `access_token`, a second
    session is opened, for a client without a browser; it ends together with this one. `replacing` is the hash of the
    session id that the browser sent: that session ends. `answered` means that the token was spent earlier, when the
    person was asked "Continue as X?", and that the person confirmed. `is_bound` is False if the client's cookies were
    not looked at.
    """

    visitor: Visitor
    reference: str
    kind: str = BROWSER
    return_path: str = "/"
    pending_hash: bytes | None = None
    access_token: bool = False
    replacing: bytes | None = None
    answered: bool = False
    is_bound: bool = True
