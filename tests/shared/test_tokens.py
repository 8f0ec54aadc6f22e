"""Opening is strict and says why; what is signed here is opened by others; logs show no token."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from joserfc.jwk import OctKey

from lab.forging import ALGORITHMS, encode, forge, key_for, part
from shared import tokens
from shared.errors import AlgorithmNotAllowed, Rejection, SignatureInvalid, TokenMalformed
from shared.keys import KeySet, TokenKey, generate_key, key_set, load_key, load_key_set
from shared.tokens import MAX_REMEMBERED_HEADER, open_signed, read_object, redact, sign, take_apart

SECRET = key_for("HS256").secret
KEYS = load_key_set([SECRET], "HS256")
HEADER = {"typ": "JWT", "alg": "HS256"}
CLAIMS = {"sub": "alice", "iat": 1}


def token(header: Any = None, payload: Any = None, sign_with: Any = None) -> str:
    """Return a good token, with what is given in place of the good part."""
    return forge(
        HEADER if header is None else header, CLAIMS if payload is None else payload, sign_with or key_for("HS256").sign
    )


def refusal(call: Callable[[], object]) -> tuple[type[Rejection], str]:
    """Return what *call* raises, and its detail."""
    with pytest.raises(Rejection) as refused:
        call()
    return type(refused.value), refused.value.detail


# --- Opening ---


def test_an_opened_token_gives_its_header_its_payload_and_the_key_that_signed_it() -> None:
    older = key_for("HS256", "older")
    keys = load_key_set([SECRET, older.secret], "HS256")
    opened = open_signed(token(sign_with=older.sign), keys, "HS256")
    assert opened == (HEADER, CLAIMS, keys.keys[1])


RFC_7515_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_7515_CLAIMS = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
RFC_7515_SECRET = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
RFC_7515_RSA = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
    "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB"
    "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
RFC_7515_EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_7515_EC_521 = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}


def test_the_hmac_example_of_rfc_7515_is_opened() -> None:
    octets = base64.urlsafe_b64decode(RFC_7515_SECRET + "==")  # these bytes are not text, so they cannot be a setting
    keys = KeySet((TokenKey("HS256", None, "example", True, OctKey.import_key(octets)),))
    example = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{RFC_7515_PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert open_signed(example, keys, "HS256").payload == RFC_7515_CLAIMS


def test_the_rsa_example_of_rfc_7515_is_opened() -> None:
    signature = (
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
        "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwu"
        "sC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )
    keys = key_set([load_key(json.dumps(RFC_7515_RSA), "RS256")])
    example = f"eyJhbGciOiJSUzI1NiJ9.{RFC_7515_PAYLOAD}.{signature}"
    assert open_signed(example, keys, "RS256").payload == RFC_7515_CLAIMS


def test_the_elliptic_example_of_rfc_7515_is_opened() -> None:
    signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    keys = key_set([load_key(json.dumps(RFC_7515_EC), "ES256")])
    example = f"eyJhbGciOiJFUzI1NiJ9.{RFC_7515_PAYLOAD}.{signature}"
    assert open_signed(example, keys, "ES256").payload == RFC_7515_CLAIMS


def test_the_p521_example_of_rfc_7515_verifies_and_is_refused_for_a_payload_that_is_no_json() -> None:
    signature = (
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7Xdt"
        "AG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
    )
    keys = key_set([load_key(json.dumps(RFC_7515_EC_521), "ES512")])
    example = f"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{signature}"
    assert refusal(lambda: open_signed(example, keys, "ES512")) == (TokenMalformed, "the payload is not JSON in UTF-8")


NOT_JSON = "is not JSON in UTF-8"
NO_OBJECT = "is not a JSON object"
TWICE = "has the same name twice"
DEEP = "has more than 32 levels"
UNFIT = {
    b"": NOT_JSON,
    b"{": NOT_JSON,
    b"{} x": NOT_JSON,
    b"\xef\xbb\xbf{}": NOT_JSON,
    b"\xff{}": NOT_JSON,
    b'{"a":NaN}': NOT_JSON,
    b'{"a":1e999}': NOT_JSON,
    b'{"a":"\\ud800"}': NOT_JSON,
    b"[" * 100_000: NOT_JSON,
    b'{"a":"\\u0000"}': "contains a NUL character",
    b'{"a":"\\\\\\u0000"}': "contains a NUL character",
    b"[]": NO_OBJECT,
    b'"{"': NO_OBJECT,
    b"[" * 32 + b"]" * 32: NO_OBJECT,
    b'"' + b"[" * 40 + b'"': NO_OBJECT,
    b"[" * 33 + b"]" * 33: DEEP,
    b'{"a":' * 33 + b"1" + b"}" * 33: DEEP,
    b'{"a":1,"a":1}': TWICE,
    b'{"a":{"b":1,"b":2}}': TWICE,
}


@pytest.mark.parametrize(("octets", "reason"), UNFIT.items(), ids=range(len(UNFIT)))
def test_what_is_no_plain_json_object_is_refused_with_the_reason(octets: bytes, reason: str) -> None:
    assert refusal(lambda: read_object(octets, "claim")) == (TokenMalformed, f"the claim {reason}")


@pytest.mark.parametrize("levels", [1, 2, 31, 32])
def test_objects_up_to_32_levels_deep_are_read(levels: int) -> None:
    text = '{"a":' * levels + "1" + "}" * levels
    assert read_object(text.encode(), "claim") == json.loads(text)
    wide = "[" + ",".join(["[[]]"] * 50) + "]"  # many brackets, but few levels
    assert read_object(f' \t\r\n{{"a":{wide}}} \n'.encode(), "claim") == {"a": json.loads(wide)}


HEADER_DETAILS: dict[str, tuple[Any, str]] = {
    "no JSON": (b"x", "the header is not JSON in UTF-8"),
    "a list": (b"[]", "the header is not a JSON object"),
    "without alg": ({"typ": "JWT"}, "the header names no algorithm: it needs a text member alg, in lower case"),
    "alg of a list": ({"alg": []}, "the header names no algorithm: it needs a text member alg, in lower case"),
    "typ of null": ({**HEADER, "typ": None}, "typ in the header must be text"),
    "kid of a number": ({**HEADER, "kid": 1}, "kid in the header must be text"),
    "cty of a list": ({**HEADER, "cty": []}, "cty in the header must be text"),
    "crit": ({**HEADER, "crit": ["exp"]}, "the header demands an extension (crit, b64) that is not supported"),
    "b64": ({**HEADER, "b64": True}, "the header demands an extension (crit, b64) that is not supported"),
}


@pytest.mark.parametrize(("header", "detail"), HEADER_DETAILS.values(), ids=HEADER_DETAILS)
def test_a_header_is_refused_with_the_reason(header: Any, detail: str) -> None:
    assert refusal(lambda: open_signed(token(header), KEYS, "HS256")) == (TokenMalformed, detail)


TEXT_DETAILS: dict[str, tuple[str, str]] = {
    "too long": ("x" * 8193, "the token is longer than 8192 bytes"),
    "other characters": ("a.b.ü", "the token has characters outside of A-Z a-z 0-9 - _ and the dot"),
    "encrypted": ("a.b.c.d.e", "the token is encrypted (five parts); a signed one (three parts) is needed"),
    "two parts": ("a.b", "a token has three parts divided by dots, this has 2"),
    "header of one letter": (f"{part(HEADER)}A.e30.x", "the header is not canonical base64url"),
    "payload of one letter": (f"{part(HEADER)}.A.x", "the payload is not canonical base64url"),
    "signature of one letter": (f"{part(HEADER)}.e30.x", "the signature is not canonical base64url"),
}


@pytest.mark.parametrize(("text", "detail"), TEXT_DETAILS.values(), ids=TEXT_DETAILS)
def test_a_text_that_is_no_token_is_refused_with_the_reason(text: str, detail: str) -> None:
    assert refusal(lambda: open_signed(text, KEYS, "HS256")) == (TokenMalformed, detail)


def test_another_algorithm_is_refused_with_both_names_and_a_long_one_is_cut() -> None:
    long = {**HEADER, "alg": "x" * 100}
    assert refusal(lambda: open_signed(token(long), KEYS, "HS256")) == (
        AlgorithmNotAllowed,
        f"the token is signed with {'x' * 20}, the setting says HS256",
    )


def test_a_wrong_signature_and_an_unknown_kid_are_told_apart() -> None:
    wrong = token(sign_with=key_for("HS256", "mallory").sign)
    fits_none = "the signature does not match any configured key"
    assert refusal(lambda: open_signed(wrong, KEYS, "HS256")) == (SignatureInvalid, fits_none)
    named = key_set([load_key(json.dumps(key_for("ES256").jwk(kid="a")), "ES256")])
    other = token({"alg": "ES256", "kid": "b"}, sign_with=key_for("ES256").sign)
    no_key = "no configured key has the token's kid"
    assert refusal(lambda: open_signed(other, named, "ES256")) == (SignatureInvalid, no_key)


def test_nothing_of_the_payload_is_read_before_the_signature_fits() -> None:
    forged = token(payload=b"[" * 3000, sign_with=lambda _: b"x" * 32)
    assert refusal(lambda: open_signed(forged, KEYS, "HS256"))[0] is SignatureInvalid


def test_a_key_of_another_algorithm_in_the_set_verifies_nothing() -> None:
    """Such a set cannot be configured; if one came about, the setting's algorithm still decides."""
    mixed = KeySet((load_key(key_for("HS512").secret, "HS512"),))
    secret = key_for("HS512").secret.encode()
    signed = token({"alg": "HS256"}, sign_with=lambda message: hmac.digest(secret, message, "sha256"))
    assert refusal(lambda: open_signed(signed, mixed, "HS256"))[0] is SignatureInvalid


@pytest.mark.parametrize("length", range(8))
def test_every_octet_string_has_exactly_one_accepted_spelling(length: int) -> None:
    octets = bytes(range(7, 7 + length))
    accepted = []
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        spelling = encode(octets)[:-1] + last if length else ""
        try:
            parts = take_apart(f"{part(HEADER)}.{spelling}.AAAA")
        except TokenMalformed:
            continue
        if parts.payload == octets:
            accepted.append(spelling)
    assert set(accepted) == {encode(octets)}


def test_the_parts_of_a_token_are_what_others_make_of_it() -> None:
    text = token()
    parts = take_apart(text)
    assert parts.header == HEADER
    assert parts.payload == json.dumps(CLAIMS).encode()
    assert parts.signing_input == text.rpartition(".")[0].encode()
    assert parts.signature == key_for("HS256").sign(parts.signing_input)


def test_strangers_cannot_fill_the_memory_of_headers() -> None:
    tokens._remembered_header.cache_clear()
    spare = MAX_REMEMBERED_HEADER * 3 // 4 - len(json.dumps({**HEADER, "x": ""}))
    short, long = {**HEADER, "x": "y" * spare}, {**HEADER, "x": "y" * (spare + 1)}
    assert len(part(short)) == MAX_REMEMBERED_HEADER < len(part(long))
    for header in (short, long):
        assert take_apart(token(header)).header == header
        assert take_apart(token(header)).header == header
    assert tokens._remembered_header.cache_info()[:2] == (1, 1)
    for _ in range(2):  # a refusal is not remembered, and stays one
        assert refusal(lambda: take_apart(token({"alg": 1})))[0] is TokenMalformed


# --- Signing ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_here_is_opened_by_another_library(algorithm: str) -> None:
    material = generate_key(algorithm)
    keys = load_key_set([material], algorithm, signing=True)
    claims = {"sub": "Алиса", "iat": 1, "x": [1, {"y": None}]}
    text = sign(claims, keys.keys[0])
    verifier: Any = material if algorithm.startswith("HS") else keys.keys[0].native.get_op_key("verify")
    assert jwt.decode(text, verifier, algorithms=[algorithm], options={"verify_iat": False}) == claims
    assert jwt.get_unverified_header(text) == {"typ": "JWT", "alg": algorithm}
    assert open_signed(text, keys, algorithm).payload == claims


def test_a_signed_token_is_as_short_as_it_can_be() -> None:
    first, second, _third = sign({"a": "ü", "b": [1]}, KEYS.keys[0]).split(".")
    assert base64.urlsafe_b64decode(first + "==") == b'{"typ":"JWT","alg":"HS256"}'
    assert base64.urlsafe_b64decode(second + "==") == '{"a":"ü","b":[1]}'.encode()


def test_no_letter_at_the_end_of_a_signature_is_lost() -> None:
    """Only padding is removed: a signature of 48 bytes has none, and may end in any letter."""
    keys = load_key_set([key_for("HS384").secret], "HS384")
    signed = [sign({"n": number}, keys.keys[0]) for number in range(600)]
    assert all(open_signed(text, keys, "HS384") for text in signed)
    assert {text[-1] for text in signed} >= {"A", "X", "9"}


def test_a_token_is_typed_and_names_its_key_where_that_is_asked_for() -> None:
    named = load_key(json.dumps({**private_jwk(), "kid": "mine"}), "ES256")
    unnamed = load_key(json.dumps(private_jwk()), "ES256")
    header = jwt.get_unverified_header(sign({}, named, typ="logout+jwt", kid=True))
    assert header == {"typ": "logout+jwt", "alg": "ES256", "kid": "mine"}
    assert jwt.get_unverified_header(sign({}, unnamed, kid=True))["kid"] == unnamed.public_jwk()["kid"]


def private_jwk() -> dict[str, Any]:
    key = load_key(key_for("ES256").private_pem, "ES256")
    return dict(key.native.as_dict(private=True))


# --- Redaction ---

TOKEN = token()
PRETTY = token(json.dumps(HEADER, indent=2).encode())
SPACED = token(b'{ "alg":"HS256" }')


REDACTED = [
    (f"GET /sso/login/jwt?jwt={TOKEN} HTTP/1.1", "GET /sso/login/jwt?jwt=[redacted] HTTP/1.1"),
    (f"/access/jwt?a=b&jwttoken={TOKEN}&c=d#e", "/access/jwt?a=b&jwttoken=[redacted]&c=d#e"),
    (
        "/x?JWT=abc&access_token=abc&logout_token=abc",
        "/x?JWT=[redacted]&access_token=[redacted]&logout_token=[redacted]",
    ),
    ("assertion=abc token='abc'", "assertion=[redacted] token='abc'"),
    ("{'jwt=abc': \"token=abc\"}", "{'jwt=[redacted]': \"token=[redacted]\"}"),
    (f"/x?my_token_parameter={TOKEN}", "/x?my_token_parameter=[token redacted]"),
    (f"Bearer {TOKEN}", "Bearer [token redacted]"),
    (f"two: {TOKEN} {TOKEN}", "two: [token redacted] [token redacted]"),
    (f"x={TOKEN.replace('.', '%2e')}", "x=[token redacted]"),
    (f"Bearer {PRETTY}", "Bearer [token redacted]"),
    (f"Bearer {SPACED}", "Bearer [token redacted]"),
    (f"cut {TOKEN[:60]}", "cut [token redacted]"),
    ("Bearer ewogICJhbGciOiAiSFMyNTYiCn0.ewogICJhIjogMQp9.c2ln", "Bearer [token redacted]"),
    ("they.new.or.few", "they.new.or.few"),
    ("keys: sha256, eyes, newer", "keys: sha256, eyes, newer"),
    ("the module they.renamed_or_so_long_ago", "the module they.renamed_or_so_long_ago"),
    ("the monkeywrench-handle.renamed_so_long_ago", "the monkeywrench-handle.renamed_so_long_ago"),
    ("a=b", "a=b"),
    ("nothing", "nothing"),
]


@pytest.mark.parametrize(("line", "redacted"), REDACTED, ids=range(len(REDACTED)))
def test_no_line_of_a_log_keeps_a_token(line: str, redacted: str) -> None:
    assert redact(line) == redacted
