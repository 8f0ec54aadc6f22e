"""Say how a session is to be opened: for which browser or client, and what comes with it."""

from __future__ import annotations

from dataclasses import dataclass

from sp.activity.record import Visitor
from sp.sessions.store import BROWSER


@dataclass(frozen=True)
class Opening:
    """What a sign-in needs besides the proof of who the person is. `reference` finds its line in the activity log.

    `pending_hash` is the hash of the pending sign-in's nonce, if one was answered. With `access_token` a second
    session, for a client without a browser, is opened beside this one and ends with it. `replacing`, the hash of a
    session's id, is what the browser has presented: that session ends. `answered` tells that the token was spent
    before, to ask the person, who has said yes.
    """

    visitor: Visitor
    reference: str
    kind: str = BROWSER
    return_path: str = "/"
    pending_hash: bytes | None = None
    access_token: bool = False
    replacing: bytes | None = None
    answered: bool = False
