"""Each signature is judged as joserfc judges it: a valid one is accepted, and any change of it is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jws import JWSRegistry

from shared.keys import ALGORITHMS, TokenKey, generate_key, load_key, public_pem
from shared.signatures import METHODS

SIGNED = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0"


def changes_of(signature: bytes) -> Iterator[bytes]:
    """Yield what is not the *signature*, but derived from it."""
    for position in {0, len(signature) // 2 - 1, len(signature) // 2, len(signature) - 1}:
        yield signature[:position] + bytes((signature[position] ^ 1,)) + signature[position + 1 :]
    half = len(signature) // 2
    first, second = signature[:half], signature[half:]
    yield from (b"", signature[:-1], signature + b"\0", b"\0" + signature, signature * 2, second + first, first)
    yield first + b"\0" + second  # the same numbers in a second spelling
    yield from (bytes(len(signature)), b"\xff" * len(signature), bytes(half) + second, first + bytes(half))
    yield encode_dss_signature(int.from_bytes(first, "big"), int.from_bytes(second, "big"))  # DER, as TLS has it


@pytest.fixture(scope="module", params=ALGORITHMS)
def key(request: pytest.FixtureRequest) -> TokenKey:
    return load_key(generate_key(request.param), request.param)


def verdicts(key: TokenKey, signed: bytes, signature: bytes) -> tuple[bool, bool]:
    """Return ours and that of joserfc."""
    theirs = JWSRegistry.algorithms[key.algorithm].verify(signed, signature, key.native)
    return METHODS[key.algorithm].verify(key.native, signed, signature), theirs


def test_attack_no_change_of_a_valid_signature_is_accepted(key: TokenKey) -> None:
    signature = JWSRegistry.algorithms[key.algorithm].sign(SIGNED, key.native)
    assert verdicts(key, SIGNED, signature) == (True, True)
    for changed in changes_of(signature):
        assert verdicts(key, SIGNED, changed) == (False, False), changed.hex()
    assert verdicts(key, SIGNED + b"A", signature) == (False, False)


def test_attack_a_signature_of_another_key_or_for_another_hash_is_not_accepted(key: TokenKey) -> None:
    signature = JWSRegistry.algorithms[key.algorithm].sign(SIGNED, key.native)
    other = load_key(generate_key(key.algorithm), key.algorithm)
    assert verdicts(other, SIGNED, signature) == (False, False)
    kind = key.algorithm[:2]
    for algorithm in {name for name in ALGORITHMS if name.startswith(kind)} - {key.algorithm}:
        assert not METHODS[algorithm].verify(key.native, SIGNED, signature)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_attack_a_signature_without_the_zero_byte_of_its_second_number_is_not_accepted(algorithm: str) -> None:
    key = load_key(generate_key(algorithm), algorithm)
    sign = METHODS[algorithm].sign
    signatures = ((signed, sign(key.native, signed)) for signed in map(str.encode, map(str, range(20_000))))
    signed, signature = next(found for found in signatures if found[1][len(found[1]) // 2] == 0)
    half = len(signature) // 2
    assert verdicts(key, signed, signature) == (True, True)
    assert verdicts(key, signed, signature[:half] + signature[half + 1 :]) == (False, False)


def test_every_algorithm_has_its_functions() -> None:
    assert METHODS.keys() == set(ALGORITHMS)


def test_joserfc_accepts_our_signatures(key: TokenKey) -> None:
    sign = METHODS[key.algorithm].sign
    assert verdicts(key, SIGNED, sign(key.native, SIGNED)) == (True, True)
    if key.algorithm.startswith("ES"):  # the first number of one signature in 256 needs a zero byte before it
        signatures = ((signed, sign(key.native, signed)) for signed in map(str.encode, map(str, range(20_000))))
        assert verdicts(key, *next(found for found in signatures if found[1][0] == 0)) == (True, True)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not name.startswith("HS")])
def test_a_public_key_cannot_sign(algorithm: str) -> None:
    public = load_key(public_pem(generate_key(algorithm)), algorithm)
    with pytest.raises(ValueError, match="a public key cannot sign"):
        METHODS[algorithm].sign(public.native, SIGNED)
