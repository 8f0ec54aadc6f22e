"""A key of a key pair is never accepted as a shared secret, in any encoding: anyone could sign with it."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from lab.forging import key_for
from shared.keys import KeyRefused, generate_key, load_key
from shared.pasted_keys import JWK, PEM, what_was_pasted
from tests.shared.test_keys import certificate

EC, RSA = key_for("ES256"), key_for("RS256")
EC_KEY: Any = EC.private
PUBLIC = EC_KEY.public_key()
RSA_PUBLIC: Any = load_pem_public_key(RSA.public_pem.encode())
ED25519 = ed25519.Ed25519PrivateKey.generate().public_key()
DER = {
    "an EC public key": PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "an RSA public key": RSA_PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "an RSA public key of PKCS 1": RSA_PUBLIC.public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "a key of an algorithm not used here": ED25519.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "a private key": EC_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    "a private key of the old form": EC_KEY.private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    ),
    "a private key with a password": EC_KEY.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    ),
}
SSH = PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
PUTTY = "PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\nEncryption: none\nPublic-Lines: 3\n" + SSH.split()[1]


def plain(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def for_addresses(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def in_lines(octets: bytes) -> str:
    return "\r\n".join(plain(octets)[start : start + 64] for start in range(0, len(plain(octets)), 64))


def in_an_environment_variable(octets: bytes) -> str:
    return in_lines(octets).replace("\r\n", "\\n")


def twice(octets: bytes) -> str:
    return plain(plain(octets).encode())


def hexadecimal(octets: bytes) -> str:
    return octets.hex()


ENCODINGS = (plain, for_addresses, in_lines, in_an_environment_variable, twice, hexadecimal)


def reason(material: str) -> str:
    with pytest.raises(KeyRefused) as refused:
        load_key(material, "HS256", allow_short_secret=True)
    return str(refused.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("key", DER)
def test_attack_a_key_without_its_armour_is_no_secret(key: str, encoding: Callable[[bytes], str]) -> None:
    assert reason(encoding(DER[key])) == PEM


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", [EC.public_pem, EC.private_pem, RSA.public_pem, SSH])
def test_attack_a_whole_file_in_base64_is_no_secret(text: str, encoding: Callable[[bytes], str]) -> None:
    assert reason(encoding(text.encode())) == PEM


def test_attack_a_certificate_without_its_armour_is_no_secret() -> None:
    body = "".join(certificate(EC).splitlines()[1:-1])
    assert reason(body) == PEM
    assert reason(f"{body}\n") == PEM


@pytest.mark.parametrize(
    "text",
    [
        SSH,
        f'no-pty,command="/bin/true" {SSH} alice@example.com',
        SSH.split()[1],
        f"sk-{SSH}",
        PUTTY,
        "---- BEGIN SSH2 PUBLIC KEY ----\n" + SSH.split()[1],
        "BEGIN PUBLIC KEY " + plain(DER["an EC public key"]) + " END PUBLIC KEY",
    ],
)
def test_attack_a_key_of_an_ssh_program_is_no_secret(text: str) -> None:
    assert reason(text) == PEM


@pytest.mark.parametrize(
    "value",
    [
        EC.jwk(),
        [EC.jwk()],
        {"keys": [EC.jwk()]},
        {"keys": []},
        {"key": {"public": EC.jwk()}},
        [[{"a": [1, None, {"kty": "oct"}]}]],
        json.dumps(EC.jwk()),
    ],
)
def test_attack_a_jwk_is_no_secret_wherever_in_the_json_it_stands(value: object) -> None:
    text = json.dumps(value)
    assert reason(text) == JWK
    assert reason(plain(text.encode())) == JWK
    assert reason(for_addresses(json.dumps(value, indent=1).encode())) == JWK


def test_attack_json_that_is_too_deep_to_be_read_or_cut_off_is_no_secret() -> None:
    assert reason("[" * 100_000 + "]" * 100_000) == JWK
    assert reason(json.dumps(EC.jwk())[:-5]) == JWK
    assert reason(json.dumps({"private_key": EC.private_pem})) == PEM
    assert reason(json.dumps({"body": plain(DER["a private key"])})) == PEM


def test_a_key_that_no_algorithm_of_ours_uses_is_no_secret_either() -> None:
    key = dsa.generate_private_key(1024).public_key()  # noqa: S505  a longer one takes long to make
    assert reason(plain(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))) == PEM


@pytest.mark.parametrize("size", [32, 48, 64, 100, 256])
def test_random_secrets_of_every_kind_stay_secrets(size: int) -> None:
    for _ in range(1000):
        octets = secrets.token_bytes(size)
        for text in (plain(octets), for_addresses(octets), octets.hex(), in_lines(octets)):
            assert what_was_pasted(text) == ""


def test_a_random_secret_that_looks_like_the_beginning_of_a_key_stays_a_secret() -> None:
    for length in range(256):
        octets = bytes([0x30, length]) + secrets.token_bytes(300)
        assert what_was_pasted(plain(octets)) == ""
        assert what_was_pasted(plain(octets[: 2 + length % 128].ljust(40))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple, and then some more words",
        '{"a secret": "that is JSON, for whatever reason there is"}',
        "[not even JSON, but in brackets, and long enough for all]",
        '"in quotation marks, as somebody has copied it from a file"',
        "sk-live-0123456789abcdef0123456789abcdef0123456789",
        "ü" * 40,
        "A" * 41,
        "=" * 40,
    ],
)
def test_a_secret_may_be_any_text_that_is_no_key(text: str) -> None:
    assert load_key(text, "HS256").private


def test_looking_at_an_ordinary_secret_costs_next_to_nothing() -> None:
    texts = [generate_key("HS256") for _ in range(1000)]
    began = time.thread_time()
    for text in texts:
        what_was_pasted(text)
    assert time.thread_time() - began < 0.5  # half a millisecond each, where some ten microseconds are usual
