"""Sign and read the question "Continue as X?", asked before a token opens a session.

A token without a nonce cannot show which sign-in it answers. Where the person did not begin that sign-in on a page of
this site, a foreign page may have begun it and brought its own token (login CSRF). So the token is spent, nothing is
opened, and the form of the question carries what the token said, signed here: no token, good for a few minutes, once,
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
    """A token that was verified and spent. `key` is the fingerprint of the key that signed it.

    `pending` is the hash of the pending sign-in's nonce in hexadecimal, `landing` where the answer leads.
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
        """Return *question* for the form."""
        return str(self._serializer.dumps(list(vars(question).values())))

    def read(self, text: str) -> Question | None:
        """Return the question that the form brings back, or None if it is forged or too old."""
        try:
            return Question(*self._serializer.loads(text, max_age=LIFETIME))
        except BadData:
            return None
