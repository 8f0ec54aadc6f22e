"""Each fault is wrong in its one way, and our own gateway rejects it."""

import re
import time
from dataclasses import replace

import jwt
import pytest

from lab.drafts import Draft, draft
from lab.faults import FAULTS, Fault, NotApplicable, UnknownFault, fault_named
from lab.forging import ForgingKey, key_for
from shared.errors import Rejection
from shared.keys import load_key_set
from sp.accounts.provisioning import read_profile
from sp.providers.provider import Provider
from sp.providers.settings_parser import parse_provider
from sp.signin.verification import check_nonce, verify

ISSUER, AUDIENCE, NONCE = "https://idp.example.com", "https://sp.example.com", "n-1"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "nonce": NONCE}
ALGORITHMS = ("HS256", "RS256", "ES256")
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=str)
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def trust(algorithm: str) -> Provider:
    settings = {
        "preset": "strict",
        "algorithm": algorithm,
        "keys": [key_for(algorithm).material],
        "issuer": {"expected": ISSUER, "match": True, "required": True},
        "audience": {"expected": AUDIENCE, "match": True, "required": True},
    }
    return parse_provider("corporate", settings)


def good(algorithm: str) -> Draft:
    now = int(time.time())
    return draft(key_for(algorithm), {**CLAIMS, "nbf": now}, now=now)


def can_be_made(fault: Fault, algorithm: str) -> bool:
    try:
        fault.tokens(good(algorithm))
    except NotApplicable:
        return False
    return True


MADE = [(fault, algorithm) for fault in FAULTS.values() for algorithm in ALGORITHMS if can_be_made(fault, algorithm)]


class Gateway:
    """What decides about a token at our gateway, and the jti that it has seen."""

    def __init__(self, algorithm: str) -> None:
        self.provider = trust(algorithm)
        self.keys = load_key_set([key_for(algorithm).material], algorithm)
        self.spent: set[str | None] = set()

    def accepts(self, token: str) -> bool:
        try:
            claims = verify(token, self.provider, self.keys, time.time()).claims
            check_nonce(claims, self.provider, frozenset({NONCE}))
            read_profile(claims, self.provider)
        except Rejection:
            return False
        if claims.token_id in self.spent:
            return False
        self.spent.add(claims.token_id)
        return True


def test_there_are_at_least_thirty_each_with_its_rule() -> None:
    assert len(FAULTS) >= 30
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert fault.what
        assert fault.rule
        assert fault.level in ("hole", "strict")


@each_algorithm
def test_the_draft_itself_is_accepted(algorithm: str) -> None:
    assert Gateway(algorithm).accepts(good(algorithm).token())


@pytest.mark.parametrize(("fault", "algorithm"), MADE, ids=str)
def test_our_gateway_rejects_it_under_the_strict_preset(fault: Fault, algorithm: str) -> None:
    *before, bad = fault.tokens(good(algorithm))
    gateway = Gateway(algorithm)
    for token in before:
        assert gateway.accepts(token)
    assert not gateway.accepts(bad)


@each_fault
def test_every_fault_is_made_with_some_key(fault: Fault) -> None:
    assert any(made == fault for made, _algorithm in MADE)


def test_a_fault_changes_one_thing_only() -> None:
    it = good("HS256")
    old = jwt.decode(fault_named("expired").token(it), options={"verify_signature": False})
    same = {name: value for name, value in it.claims.items() if name not in ("iat", "nbf", "exp")}
    assert {name: value for name, value in old.items() if name not in ("iat", "nbf", "exp")} == same
    secret = key_for("HS256").secret
    with pytest.raises(jwt.ExpiredSignatureError):  # so the signature is right
        jwt.decode(fault_named("expired").token(it), secret, algorithms=["HS256"], audience=AUDIENCE)


def test_an_embedded_key_really_fits_the_signature() -> None:
    token = fault_named("jwk-embedded").token(good("RS256"))
    embedded = jwt.PyJWK(jwt.get_unverified_header(token)["jwk"], "RS256")
    assert jwt.decode(token, embedded, algorithms=["RS256"], audience=AUDIENCE)["email"] == "alice@example.org"


def test_the_other_signature_of_ecdsa_is_valid() -> None:
    first, second = fault_named("replayed-other-signature").tokens(good("ES256"))
    assert first != second
    claims = [
        jwt.decode(it, key_for("ES256").public_pem, algorithms=["ES256"], audience=AUDIENCE) for it in (first, second)
    ]
    assert claims[0] == claims[1]


def test_an_unknown_fault_names_the_nearest_ones() -> None:
    with pytest.raises(UnknownFault, match="did you mean expired"):
        fault_named("expierd")


def test_a_fault_says_why_it_cannot_be_made_with_this_key() -> None:
    with pytest.raises(NotApplicable, match="alg-confusion: it needs a private key"):
        fault_named("alg-confusion").tokens(good("HS256"))


def test_a_renewed_draft_has_another_jti_and_nothing_else() -> None:
    it = good("HS256")
    other = it.renewed()
    assert other.claims["jti"] != it.claims["jti"]
    assert {**other.claims, "jti": 1} == {**it.claims, "jti": 1}
    plain = replace(it, claims={"email": "alice@example.org"})
    assert plain.renewed() == plain


def test_no_key_shows_in_a_representation() -> None:
    assert "very secret" not in repr(draft(ForgingKey("HS256", b"very secret")))
