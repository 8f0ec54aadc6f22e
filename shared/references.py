"""Name a sign-in or an error by a reference that a person can read out and an administrator can find in the log."""

from __future__ import annotations

import secrets

REFERENCE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no letter that looks like a digit
REFERENCE_LENGTH = 10  # 49 bits: enough to be unique in a log, short enough to read out on the phone


def new_reference() -> str:
    """Return a reference by which an administrator can find an error in the log."""
    number, letters = secrets.randbelow(len(REFERENCE_ALPHABET) ** REFERENCE_LENGTH), ""
    for _ in range(REFERENCE_LENGTH):
        number, letter = divmod(number, len(REFERENCE_ALPHABET))
        letters += REFERENCE_ALPHABET[letter]
    return letters
