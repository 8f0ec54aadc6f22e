"""Normalise e-mails for comparison, as the name of an account and as a person's id at a provider.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import unicodedata


def email_key(email: str) -> str:
    """Return *email* normalised for comparison: case is ignored, and each letter has only one encoding."""
    if email.isascii():
        return email.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def email_as_id(email: str) -> str:
    """Return *email* as the id of a person. ASCII letters become lower case, and all other characters stay unchanged.

    If two e-mails only look alike, they belong to different people. For example, the Kelvin sign does not become a k.
    """
    return email.encode().lower().decode()
