"""Cases about the preset `strict`: what other presets let pass, and it does not."""

from typing import Any

from tests.attacks.case import (
    ACCEPTED,
    AUDIENCE,
    ISSUER,
    Case,
    Change,
    among,
    claim,
    each_value,
    header,
    header_and,
    header_without,
    later,
    text,
    without,
)

MISSING, INVALID, OTHER_TYPE = "claim_missing", "claim_invalid", "token_type_wrong"
REQUIRED = ("iss", "aud", "sub", "iat", "exp", "nbf", "jti", "email")
SURPLUS: dict[str, Any] = {
    "jku": "https://evil.example/jwks.json",
    "jwk": {},
    "x5u": "https://evil.example",
    "x5c": [],
    "x5t": "AAAA",
    "cty": "JWT",
    "zip": "DEF",
    "iss": ISSUER,
    "colour": "blue",
}


def _for_two_audiences(party: str) -> Change:
    return lambda it: it.token(claims={**it.claims, "aud": [AUDIENCE, "https://evil.example"], "azp": party})


CASES = among(
    "strict",
    Case("a good token", ACCEPTED, text(lambda t: t)),
    *(Case(f"{name} is missing", MISSING, without(name)) for name in REQUIRED),
    *(Case(f"{name} in the header", "token_malformed", header(**{name: value})) for name, value in SURPLUS.items()),
    Case("Type in the header", "token_malformed", header_and('"Type":"JWT"')),
    Case("no kid, though the key has one", "token_malformed", header_without("kid")),
    Case("another kid", "signature_invalid", header(kid="key-9")),
    Case("no typ", ACCEPTED, header_without("typ")),
    *each_value("events", OTHER_TYPE, {}, None),
    *each_value("scope", OTHER_TYPE, "openid", None),
    *each_value("client_id", OTHER_TYPE, "gateway"),
    *each_value("purpose", OTHER_TYPE, "invitation"),
    *each_value("azp", OTHER_TYPE, "https://other.example.com", 7, [AUDIENCE], "", {}),
    *each_value("azp", ACCEPTED, AUDIENCE, None),
    Case("azp of another party that stands in aud", OTHER_TYPE, _for_two_audiences("https://evil.example")),
    Case("azp names us, aud another party too", "audience_mismatch", _for_two_audiences(AUDIENCE)),
    *each_value("aud", "audience_mismatch", [AUDIENCE, "https://evil.example"], ["https://evil.example", AUDIENCE]),
    *each_value("aud", ACCEPTED, [AUDIENCE]),
    Case("a lifetime of max_age", ACCEPTED, later("exp", 300)),
    Case("a lifetime beyond max_age", INVALID, later("exp", 301)),
    *each_value(
        "email", INVALID, 7, True, [], "alice", "alice@", "@example.com", "alice@localhost", "alice@example.com."
    ),
    *each_value(
        "email", INVALID, "alice@.example.com", "alice@exa..mple.com", "älice@example.com", "alice@exämple.com"
    ),
    *each_value("email", INVALID, "alice@example.com@example.com", "alice b@example.com", "a" * 243 + "@example.com"),
    *each_value(
        "email",
        INVALID,
        "alice@example\u212a.com",
        "alice@example.com\u200b",
        "alice@example.com\n",
        "\x7f@example.com",
    ),
    *each_value("email", ACCEPTED, "a" * 242 + "@example.com", "O'Hara+x@Example.COM", "!@a.b", "a@b.c.d"),
    *each_value("mail", INVALID, "alice@localhost", "älice@example.com", 7),
    *each_value("email_verified", INVALID, False, "true", "false", 1, 0, None, [], ""),
    *each_value("email_verified", ACCEPTED, True),
    *each_value("given_name", INVALID, "Al\x01ice", "Al\nice", "Al\x7fice", "Al\x85ice", "Al\u200bice", "Al\u202eice"),
    *each_value("given_name", INVALID, "\ufeffAlice", "Al\xadice", "Al\u2028ice", "Al\u2066ice", "Al\U000e0001ice"),
    *each_value("given_name", INVALID, "Al\u2029ice"),
    *each_value("given_name", ACCEPTED, "Zoë", "Алиса", "李", "A B", "O\u2019Hara", "Al\xa0ice"),
    *each_value("groups", INVALID, ["staff", "ad\u200bmins"], ["a\nb"], {"a\u200b": 1}, [{"name": ["a\u200b"]}]),
    *each_value("sub", INVALID, "ali\u200bce", "alice\r\n"),
    Case("an invisible character in a claim that nobody maps", ACCEPTED, claim("title", "Dr\u200b")),
)
