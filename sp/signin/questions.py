"""Sign and read the question "Continue as X?", asked before a token opens a session.

A token without a nonce does not show which sign-in it answers. If that sign-in was not started on a page of this site,
another site may have started it and delivered its own token (login CSRF). So the token is spent, but no session is
opened yet, and the question's form contains the claims, signed by the gateway. The form works once, for a few minutes,
and only in the browser whose pending sign-in it answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData

from shared.timed_texts import timed_serializer
from sp.sessions.held import LIFETIME


@dataclass(frozen=True)
class Question:
    """The claims of a token that was verified and spent. `key` is the fingerprint of the key that signed it.

    `pending` is the hash of the pending sign-in's nonce in hexadecimal, `landing` is where the browser goes after the
    person has confirmed.
    """

    provider: str
    claims: Mapping[str, Any]
    key: str
    pending: str
    landing: str


class Questions:
    """Signs and reads the questions of one gateway."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._serializer = timed_serializer(secret_keys, "lychgate question")

    def write(self, question: Question) -> str:
        """Return *question* as signed text for the form, which also contains the time."""
        return str(self._serializer.dumps(list(vars(question).values())))

    def read(self, text: str) -> tuple[Question, float] | None:
        """Return the question in the submitted form and its time, or None if it is forged or too old.

        The time is in seconds since 1970.
        """
        try:
            content, signed_at = self._serializer.loads(text, max_age=LIFETIME, return_timestamp=True)
        except BadData:
            return None
        return Question(*content), signed_at.timestamp()
