"""Sign short texts together with the time at which they were made, by `shared.clock`."""

from __future__ import annotations

from collections.abc import Sequence

from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from shared.clock import time_now


class ClockedSigner(TimestampSigner):
    """Signs and checks the age of a text by `shared.clock`."""

    def get_timestamp(self) -> int:
        return int(time_now())


def timed_serializer(secret_keys: Sequence[str], salt: str) -> URLSafeTimedSerializer:
    """Return a serializer that signs with the first of *secret_keys* and verifies with all of them.

    Each use has a different *salt*, so a text that was signed for one use is not valid for another.
    """
    newest_last = list(reversed(secret_keys))  # the order that itsdangerous expects
    return URLSafeTimedSerializer(newest_last, salt=salt, signer=ClockedSigner)
