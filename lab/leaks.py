"""Check that nothing secret was written to a log."""

import re
from collections.abc import Iterable

TOKEN_LIKE = re.compile(r"eyJ[A-Za-z0-9_-]{6,}(?:\.|%2[eE])[A-Za-z0-9_-]*")


def assert_no_secret_in(text: str, secrets: Iterable[str] = ()) -> None:
    """Fail if *text* contains anything that looks like a token, or one of the *secrets*. The failure shows the line."""
    guilty = [line for line in text.splitlines() if TOKEN_LIKE.search(line)]
    guilty += [line for secret in secrets for line in text.splitlines() if secret in line]
    assert guilty == []
