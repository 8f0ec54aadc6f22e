"""How e-mails are compared, as the name of an account and as a person's id at a provider. Pure."""

from __future__ import annotations

import unicodedata


def email_key(email: str) -> str:
    """Return *email* as it is compared: without case, and with look-alike encodings of a letter made one."""
    if email.isascii():
        return email.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def email_as_id(email: str) -> str:
    """Return *email* as the id of a person: without the case of ASCII letters, and else exactly as it is.

    An e-mail that only looks like another one is another person: the Kelvin sign is not a k here.
    """
    return email.encode().lower().decode()
