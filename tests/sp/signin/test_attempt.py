"""Verify a token with a provider's keys, which may have to be fetched first."""

from dataclasses import dataclass

import pytest

from lab.clock import Clock
from lab.minting import mint
from shared.clock import time_now
from shared.errors import TokenExpired
from shared.keys import KeySet, load_key_set
from shared.logout_tokens import make_sign_out_token
from sp.providers.patience import Patience
from sp.providers.provider import Provider
from sp.providers.registry import Trusted
from sp.providers.settings_parser import parse_provider
from sp.signin.attempt import verify_with_keys
from sp.signout.signer import verify_by_any

KEY = "a secret of the cast, long enough for SHA-256"
KEYS = load_key_set([KEY], "HS256")
PROVIDER: Provider = parse_provider("corporate", {"clock_skew": 0, "mapping": {"id": "sub", "email": "email"}})


@dataclass(frozen=True)
class SlowlyTrusted(Trusted):
    """A provider whose endpoint answers after 3 seconds of the clock that the test moves."""

    clock: Clock | None = None

    def keys(self, patience: Patience | None = None) -> KeySet:
        assert self.clock is not None
        self.clock.tick(seconds=3)
        return KEYS


@pytest.fixture
def slow(clock: Clock) -> Trusted:
    return SlowlyTrusted(PROVIDER, False, None, {}, clock=clock)


def sign_in_token(lifetime: int) -> str:
    now = int(time_now())
    return mint({"iat": now, "exp": now + lifetime, "jti": "a", "sub": "alice", "email": "alice@example.com"}, KEY)


def test_attack_a_token_that_expires_while_its_keys_are_fetched_signs_nobody_in(slow: Trusted) -> None:
    with pytest.raises(TokenExpired):
        verify_with_keys(sign_in_token(2), slow, time_now)
    assert verify_with_keys(sign_in_token(60), slow, time_now).claims.subject == "alice"


def test_attack_a_sign_out_token_that_expires_while_its_keys_are_fetched_ends_nothing(slow: Trusted) -> None:
    def token(lifetime: int) -> str:
        now, key = int(time_now()), KEYS.keys[0]
        return make_sign_out_token(
            {"sub": "alice"}, key, issuer="https://idp.example", token_id="a", now=now, lifetime=lifetime
        )

    with pytest.raises(TokenExpired):
        verify_by_any(token(2), [slow], time_now, our_url="https://sp.example", back_channel=True)
    _provider, sign_out = verify_by_any(token(60), [slow], time_now, our_url="https://sp.example", back_channel=True)
    assert "alice" in sign_out.subjects
