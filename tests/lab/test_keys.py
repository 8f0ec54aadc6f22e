"""What the lab takes as a key, and what it says about the rest."""

import json
from pathlib import Path

import pytest

from lab.forging import encode, key_for, number
from lab.keys import KeyUnreadable, read_key

MESSAGE = b"header.payload"


def private_jwk(algorithm: str) -> dict[str, object]:
    key = key_for(algorithm)
    private = key.pair.private_numbers()
    exponent = private.private_value if hasattr(private, "private_value") else private.d
    return key.jwk(d=number(exponent), kid="k-1", alg=algorithm)


def test_a_text_is_a_secret_for_hs256() -> None:
    key = read_key("a short secret")
    assert (key.algorithm, key.secret) == ("HS256", "a short secret")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512"])
def test_a_pem_file_signs_with_its_usual_algorithm(algorithm: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(key_for(algorithm).private_pem)
    for given in (str(file), f"file:{file}", file.read_text()):
        key = read_key(given)
        assert key.algorithm == algorithm
        assert key.public_pem == key_for(algorithm).public_pem


@pytest.mark.parametrize("algorithm", ["RS512", "ES256", "ES512"])
def test_a_jwk_brings_its_algorithm_and_its_name(algorithm: str) -> None:
    key = read_key(json.dumps(private_jwk(algorithm)))
    assert (key.algorithm, key.kid) == (algorithm, "k-1")
    assert key.public_pem == key_for(algorithm).public_pem


def test_a_secret_may_be_a_jwk() -> None:
    key = read_key(json.dumps({"kty": "oct", "k": encode(b"shared")}), "HS512")
    assert key.sign(MESSAGE) == read_key("shared", "HS512").sign(MESSAGE)


def test_a_file_of_a_secret_is_read_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("shared\n")
    assert read_key(str(tmp_path / "secret")).secret == "shared"


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "shared")
    assert read_key("env:LAB_KEY").secret == "shared"


@pytest.mark.parametrize(
    ("given", "algorithm", "why"),
    [
        ("", "", "empty"),
        ("env:NOT_THERE_AT_ALL", "", "no variable"),
        ("file:/not/there", "", "cannot be read"),
        ("secret", "RS256", "cannot sign with RS256"),
        ("secret", "PS256", "unknown algorithm"),
        ("-----BEGIN PUBLIC KEY-----", "", "not a private key"),
        ("{", "", "not JSON"),
        ("{}", "", "kty"),
        ('{"kty":"RSA","n":"AQAB","e":"AQAB"}', "", "only a private key"),
        ('{"kty":"EC","crv":"P-999","d":"AQ"}', "", "P-999"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_the_reason(given: str, algorithm: str, why: str) -> None:
    with pytest.raises(KeyUnreadable, match=why):
        read_key(given, algorithm)


def test_a_public_pem_is_refused_and_not_shown() -> None:
    with pytest.raises(KeyUnreadable, match="only a private key can sign") as refused:
        read_key(key_for("RS256").public_pem)
    assert key_for("RS256").public_pem[40:60] not in str(refused.value)


def test_the_curve_decides_the_algorithm() -> None:
    with pytest.raises(KeyUnreadable, match="ES256"):
        read_key(key_for("ES256").private_pem, "ES384")
