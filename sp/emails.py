"""Normalise e-mails for comparison: as the name of an account, and as a person's id at a provider.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import unicodedata


def email_key(email: str) -> str:
    """Return *email* normalised for comparison: without case, and with one encoding for each letter."""
    if email.isascii():
        return email.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def email_as_id(email: str) -> str:
    """Return *email* as the id of a person: ASCII letters in lower case, all others unchanged.

    E-mails that only look alike belong to different people: the Kelvin sign is not a k here.
    """
    return email.encode().lower().decode()
