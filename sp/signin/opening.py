"""Describe how to open a session: for which browser or client, and with which options."""

from __future__ import annotations

from dataclasses import dataclass

from sp.activity.record import Visitor
from sp.sessions.store import BROWSER


@dataclass(frozen=True)
class Opening:
    """The input of a sign-in besides the verified person. `reference` identifies its line in the activity log.

    `pending_hash` is the hash of the pending sign-in's nonce, if the token answers one. With `access_token`, a second
    session is opened, for a client without a browser. It ends together with the browser's session. `replacing` is the
    hash of the session id that the browser sent. That session ends. `answered` means that the token was spent earlier,
    when the person was asked "Continue as X?", and that the person confirmed. `is_bound` is False if the client's
    cookies were ignored.
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
