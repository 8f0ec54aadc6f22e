"""A key is validated when it is configured: a key that passes can be trusted with every token."""

import datetime
import json
import math
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from lab.forging import ALGORITHMS, ForgingKey, encode, key_for, number
from shared import keys
from shared.keys import (
    MAX_KEYS,
    KeyRefused,
    KeySet,
    generate_key,
    key_set,
    load_jwk,
    load_key,
    load_key_set,
    public_pem,
)
from shared.tokens import open_signed, sign

RSA, EC = key_for("RS256"), key_for("ES256")


def reason(material: str, algorithm: str, *, allow_short_secret: bool = False) -> str:
    """Return why *material* is refused."""
    with pytest.raises(KeyRefused) as refused:
        load_key(material, algorithm, allow_short_secret=allow_short_secret)
    return str(refused.value)


def pem(key: PrivateKeyTypes, password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def jwk(key: ForgingKey = EC, **more: Any) -> str:
    return json.dumps(key.jwk(**more))


# --- Shared secrets ---


@pytest.mark.parametrize(("algorithm", "needed"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_has_as_many_bytes_as_its_hash(algorithm: str, needed: int) -> None:
    assert load_key("s" * needed, algorithm).private
    short = "s" * (needed - 1)
    why = f"the secret has {needed - 1} bytes; {algorithm} needs {needed} (RFC 7518, section 3.2)"
    assert reason(short, algorithm) == why
    assert load_key(short, algorithm, allow_short_secret=True).algorithm == algorithm


def test_bytes_are_counted_not_letters() -> None:
    assert load_key("ü" * 16, "HS256")


def test_a_pasted_line_break_is_no_part_of_a_secret() -> None:
    plain, pasted = load_key("s" * 40, "HS256"), load_key(" " + "s" * 40 + "\r\n", "HS256")
    assert open_signed(sign({}, pasted), key_set([plain]), "HS256").payload == {}
    assert plain.fingerprint == pasted.fingerprint


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_key_is_refused_whatever_is_allowed(empty: str) -> None:
    assert reason(empty, "HS256", allow_short_secret=True) == "the key is empty"


@pytest.mark.parametrize(
    "material",
    [
        EC.public_pem,
        EC.private_pem,
        RSA.public_pem,
        "x" * 40 + RSA.public_pem,
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC" + "A" * 40,
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY" + "A" * 40,
    ],
)
def test_a_public_key_is_never_taken_for_a_secret(material: str) -> None:
    assert "cannot be a shared secret" in reason(material, "HS256", allow_short_secret=True)


def test_a_jwk_is_never_taken_for_a_secret() -> None:
    oct_jwk = json.dumps({"kty": "oct", "k": "A" * 60})
    for material in (jwk(), oct_jwk, json.dumps({"keys": [EC.jwk()]})):
        assert reason(material, "HS256").startswith("a JWK cannot be a shared secret")


def test_a_secret_is_shown_nowhere() -> None:
    key = load_key("very-secret-" * 4, "HS256")
    assert "very-secret" not in repr(key)
    assert "very-secret" not in repr(key_set([key]))
    assert key.kid is None
    assert len(key.fingerprint) == 12
    assert "very-secret" not in reason("very-secret", "HS256")
    with pytest.raises(ValueError, match="a shared secret has no public half"):
        key.public_jwk()


# --- RSA and EC keys ---


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if not name.startswith("HS")])
def test_public_and_private_keys_are_taken_as_pem_and_as_jwk(algorithm: str) -> None:
    forging = key_for(algorithm)
    private = load_key(forging.private_pem, algorithm)
    signed = sign({"sub": "alice"}, private)
    for material in (forging.public_pem, json.dumps(forging.jwk()), forging.private_pem):
        key = load_key(material, algorithm)
        assert key.fingerprint == private.fingerprint
        assert key.private == (material == forging.private_pem)
        assert open_signed(signed, key_set([key]), algorithm).key == key


def test_a_pem_in_one_line_with_written_line_breaks_is_read() -> None:
    assert (
        load_key(EC.public_pem.replace("\n", "\\n"), "ES256").fingerprint
        == load_key(EC.public_pem, "ES256").fingerprint
    )


def test_a_certificate_stands_for_its_public_key() -> None:
    assert load_key(certificate(EC), "ES256").fingerprint == load_key(EC.public_pem, "ES256").fingerprint
    assert not load_key(certificate(EC), "ES256").private


def certificate(key: ForgingKey) -> str:
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp.example.com")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key.private, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_of_the_other_kind_is_refused_by_name(algorithm: str) -> None:
    other, kind = (
        (EC, "an RSA key, this is an EC key") if algorithm == "RS256" else (RSA, "an EC key, this is an RSA key")
    )
    assert reason(other.public_pem, algorithm) == f"{algorithm} needs {kind}"


def test_a_key_on_the_curve_of_another_algorithm_is_refused() -> None:
    assert reason(key_for("ES384").public_pem, "ES256") == "ES256 needs the curve P-256, this key is on P-384"


@pytest.mark.parametrize(
    "curve", [ec.SECP256K1(), ec.BrainpoolP256R1(), ec.SECP224R1(), ec.SECP192R1()], ids=lambda curve: curve.name
)
def test_a_key_on_a_curve_that_no_algorithm_uses_is_refused(curve: ec.EllipticCurve) -> None:
    why = f"no supported algorithm uses the curve {curve.name}"
    assert reason(pem(ec.generate_private_key(curve)), "ES256") == why
    assert reason(pem(ec.generate_private_key(curve)), "RS256") == why


UNREADABLE = "this is not a readable RSA or EC key: enter a PEM or a JWK"
NO_PEM = "this is neither a PEM nor a JWK: a shared secret needs an HS algorithm"
UNFIT: dict[str, tuple[str, str]] = {
    "an Ed25519 key": (pem(ed25519.Ed25519PrivateKey.generate()), UNREADABLE),
    "an X25519 key": (pem(x25519.X25519PrivateKey.generate()), UNREADABLE),
    "a DSA key": (pem(dsa.generate_private_key(1024)), UNREADABLE),  # noqa: S505  a longer one takes long to make
    "a PEM that was cut off": (EC.public_pem[:80] + "\n-----END PUBLIC KEY-----", UNREADABLE),
    "a PEM in another alphabet": ("-----BEGIN PUBLIC KEY-----\nщщщщ\n-----END PUBLIC KEY-----", UNREADABLE),
    "half of a surrogate pair": ("-----BEGIN PUBLIC KEY-----\ud800", UNREADABLE),
    "a certificate that is none": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", UNREADABLE),
    "an encrypted key": (
        pem(ec.generate_private_key(ec.SECP256R1()), b"x"),
        "the key is encrypted with a password: enter it without one",
    ),
    "two PEMs": (
        EC.public_pem + RSA.public_pem,
        "this contains more than one PEM: enter each key separately",
    ),
    "a secret": ("s" * 64, NO_PEM),
    "a PEM without its first line": ("\n".join(EC.public_pem.splitlines()[1:]), NO_PEM),
    "a list of JWKs": (json.dumps([EC.jwk()]), NO_PEM),
    "a JWKS": (json.dumps({"keys": [EC.jwk()]}), "only RSA and EC keys verify RS and ES signatures"),
    "a symmetric JWK": (json.dumps({"kty": "oct", "k": "AAAA"}), "only RSA and EC keys verify RS and ES signatures"),
    "a JWK of a list of kinds": (jwk(kty=["EC"]), "only RSA and EC keys verify RS and ES signatures"),
    "JSON that was cut off": (jwk()[:-5], UNREADABLE),
    "JSON of 100,000 levels": ('{"kty":"EC","x":' + "[" * 100_000 + "]" * 100_000 + "}", UNREADABLE),
    "a doubled name": ('{"kty":"RSA",' + jwk()[1:], "the JWK has the same name twice"),
    "a point beside the curve": (jwk(y=EC.jwk()["x"]), UNREADABLE),
    "a point at zero": (jwk(x="A" * 43, y="A" * 43), UNREADABLE),
    "a number for a coordinate": (jwk(x=5), UNREADABLE),
    "an unknown curve": (jwk(crv="P-999"), UNREADABLE),
    "a kid that is no text": (jwk(kid=7), UNREADABLE),
    "another algorithm": (jwk(alg="ES384"), "the JWK is for ES384, the setting says ES256"),
    "a key for encryption": (jwk(use="enc"), "the JWK is for encryption, not for signatures"),
    "a public key that may only sign": (jwk(key_ops=["sign"]), "the JWK's key_ops do not allow signatures"),
    "a key that may only encrypt": (jwk(key_ops=["encrypt"]), "the JWK's key_ops do not allow signatures"),
    "key_ops that are no list": (jwk(key_ops="verify"), "the JWK's key_ops do not allow signatures"),
    "key_ops of null": (jwk(key_ops=None), "the JWK's key_ops do not allow signatures"),
}


@pytest.mark.parametrize(("material", "why"), UNFIT.values(), ids=UNFIT)
def test_what_is_no_good_key_is_refused_with_the_reason(material: str, why: str) -> None:
    assert reason(material, "ES256") == why


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"], ["verify", "something"]])
def test_a_public_jwk_that_may_verify_verifies(operations: list[str]) -> None:
    key = load_key(jwk(key_ops=operations, use="sig", alg="ES256"), "ES256")
    signed = sign({}, load_key(EC.private_pem, "ES256"))
    assert open_signed(signed, key_set([key]), "ES256").payload == {}


def test_a_private_jwk_that_may_only_sign_is_taken_for_its_public_half_too() -> None:
    private = dict(load_key(EC.private_pem, "ES256").native.as_dict(private=True)) | {"key_ops": ["sign"]}
    key = load_key(json.dumps(private), "ES256")
    assert open_signed(sign({}, key), key_set([key]), "ES256").payload == {}
    assert reason(json.dumps(private | {"key_ops": ["verify"]}), "ES256") == "the JWK's key_ops do not allow signatures"


def test_a_member_of_a_jwks_is_a_key() -> None:
    assert load_jwk(EC.jwk(kid="a", alg="ES256", use="sig"), "ES256").kid == "a"
    assert load_jwk(EC.jwk(kid=""), "ES256").kid is None
    with pytest.raises(KeyRefused):
        load_jwk({"kty": "oct", "k": "AAAA"}, "ES256")


# --- RSA keys that are weak ---


@pytest.mark.parametrize(("bits", "fits"), [(1024, False), (2040, False), (2048, True), (8192, True), (8200, False)])
def test_an_rsa_key_has_2048_to_8192_bits(bits: int, fits: bool) -> None:
    material = rsa_jwk(modulus(bits))
    if fits:
        assert load_key(material, "RS256")
    else:
        assert reason(material, "RS256") == f"an RSA key must have 2048 to 8192 bits, this has {bits}"


@pytest.mark.parametrize("exponent", [3, 17, 257, 65535])
def test_a_small_rsa_exponent_is_refused(exponent: int) -> None:
    assert reason(rsa_jwk(modulus(2048), exponent), "RS256") == "the RSA exponent must be odd and at least 65537"


@pytest.mark.parametrize("exponent", [0, 1, 2, 65536, 65538])
def test_an_even_or_absurd_rsa_exponent_is_refused(exponent: int) -> None:
    assert reason(rsa_jwk(modulus(2048), exponent), "RS256")


@pytest.mark.parametrize("factor", [2, 3, 7, 509, 997])
def test_an_rsa_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    number_with_it = modulus(2048) // (2 * factor) * 2 * factor
    number_with_it += 0 if factor == 2 else factor  # odd
    assert reason(rsa_jwk(number_with_it), "RS256") == "the RSA modulus has a small factor, so the key is not secure"


def test_an_rsa_key_of_the_flawed_generator_is_refused() -> None:
    """ROCA: both primes, and so the modulus, are powers of 65537 modulo many small primes."""
    product = math.prod(keys.ROCA_PRIMES)
    flawed = pow(65537, 12345, product)
    while flawed.bit_length() < 2048:
        flawed += product << (2047 - product.bit_length())
    assert reason(rsa_jwk(flawed), "RS256").endswith("can be factored (CVE-2017-15361)")
    assert load_key(rsa_jwk(modulus(2048)), "RS256")


def modulus(bits: int) -> int:
    """Return an odd number of so many bits without small factors, which looks like a modulus."""
    candidate = (1 << (bits - 1)) + (0xC0FFEE << 64) + 1
    while math.gcd(candidate, keys.PRIMES_BELOW_1000) != 1:
        candidate += 2
    return candidate


def rsa_jwk(n: int, e: int = 65537) -> str:
    return json.dumps({"kty": "RSA", "n": number(n), "e": number(e) or encode(b"\0")})


# --- Sets ---


def test_every_key_of_a_set_is_a_candidate_unless_the_token_names_another() -> None:
    a, b = (load_jwk(key_for("ES256", holder).jwk(kid=holder), "ES256") for holder in ("a", "b"))
    unnamed = load_key(key_for("ES256", "c").public_pem, "ES256")
    three = key_set([a, b, unnamed])
    assert list(three.candidates(None)) == [a, b, unnamed]
    assert list(three.candidates("b")) == [b, unnamed]
    assert list(three.candidates("z")) == [unnamed]
    assert list(KeySet(()).candidates(None)) == []


def test_a_set_has_no_doubles() -> None:
    secret = "s" * 40
    with pytest.raises(KeyRefused, match=r"^the same key is given twice$"):
        load_key_set([secret, f"{secret}\n"], "HS256")
    with pytest.raises(KeyRefused, match=r"^the same key is given twice$"):
        load_key_set([EC.public_pem, EC.private_pem], "ES256")
    with pytest.raises(KeyRefused, match=r"^two keys have the same kid$"):
        load_key_set([jwk(kid="a"), jwk(key_for("ES256", "other"), kid="a")], "ES256")
    assert len(load_key_set([EC.public_pem, key_for("ES256", "other").public_pem], "ES256").keys) == 2


def test_a_set_has_one_algorithm_and_sixteen_keys_at_most() -> None:
    with pytest.raises(KeyRefused, match=r"^all keys of a set must be for the same algorithm$"):
        key_set([load_key("s" * 64, "HS256"), load_key("t" * 64, "HS512")])
    secrets = [f"{number_:040}" for number_ in range(MAX_KEYS + 1)]
    assert len(load_key_set(secrets[:MAX_KEYS], "HS256").keys) == 16
    with pytest.raises(KeyRefused, match=r"^more than 16 keys$"):
        load_key_set(secrets, "HS256")


def test_the_first_key_of_a_set_that_signs_is_private() -> None:
    older = key_for("ES256", "older")
    with pytest.raises(KeyRefused, match=r"^the first key must be a private key, because it signs$"):
        load_key_set([EC.public_pem, older.private_pem], "ES256", signing=True)
    assert load_key_set([EC.private_pem, older.public_pem], "ES256", signing=True)
    assert load_key_set([], "ES256", signing=True).keys == ()


def test_keys_are_compared_without_their_insides() -> None:
    assert load_key("s" * 40, "HS256") == load_key("s" * 40, "HS256")
    assert load_key("s" * 40, "HS256") != load_key("t" * 40, "HS256")


# --- Making keys ---


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in ("RS384", "RS512")])
def test_a_generated_key_meets_the_policy_and_is_another_each_time(algorithm: str) -> None:
    first, second = generate_key(algorithm), generate_key(algorithm)
    assert first != second
    key = load_key_set([first, second], algorithm, signing=True).keys[0]
    assert key.private
    if algorithm.startswith("HS"):
        assert len(first) >= 64
    else:
        assert load_key(public_pem(first), algorithm).fingerprint == key.fingerprint
        assert "PRIVATE" not in public_pem(first)
    if algorithm.startswith("RS"):
        assert isinstance(native := key.native.raw_value, rsa.RSAPrivateKey)
        assert native.key_size == 3072


def test_an_unknown_algorithm_is_refused_with_the_names_of_the_known_ones() -> None:
    for call in (lambda: generate_key("none"), lambda: load_key("s" * 99, "HS257")):
        with pytest.raises(KeyRefused, match=r"^unknown algorithm: use one of HS256, .*ES512$"):
            call()


@pytest.mark.parametrize("algorithm", ["RS256", "ES512"])
def test_the_public_jwk_has_a_name_and_a_purpose_and_nothing_private(algorithm: str) -> None:
    key = load_key(key_for(algorithm).private_pem, algorithm)
    public = key.public_jwk()
    assert (public["alg"], public["use"]) == (algorithm, "sig")
    assert public["kid"]
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(public)
    assert load_jwk(public, algorithm).fingerprint == key.fingerprint
    assert load_jwk(key_for(algorithm).jwk(kid="own"), algorithm).public_jwk()["kid"] == "own"


def test_a_public_key_is_written_as_pem() -> None:
    assert isinstance(EC.private, ec.EllipticCurvePrivateKey)
    expected = EC.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert public_pem(EC.private_pem) == expected
