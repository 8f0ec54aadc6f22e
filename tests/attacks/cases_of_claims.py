"""Cases about claims: each token is signed with the right key, so only what it says is wrong."""

import json
from typing import Any

from tests.attacks.case import (
    ACCEPTED,
    AUDIENCE,
    ISSUER,
    Case,
    Change,
    among,
    claims_later,
    each_value,
    edited,
    header,
    header_and,
    header_without,
    later,
    payload_text,
    renamed,
    text,
    without,
)

MISSING, INVALID, OTHER_TYPE = "claim_missing", "claim_invalid", "token_type_wrong"
LOGOUT_EVENT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


def _times(factor: int) -> tuple[Case, ...]:
    """Cases of times in a smaller unit than seconds."""
    return tuple(
        Case(f"{name} times {factor:,}", INVALID, edited(name, lambda seconds: seconds * factor))
        for name in ("iat", "exp", "nbf")
    )


def _no_time(name: str) -> tuple[Case, ...]:
    return (
        *each_value(name, INVALID, "1700000000", "2026-11-22T00:00:00Z", "", "now", True, False, None, [], [1], {}),
        *each_value(name, INVALID, -1, -1.5, 10**10, 10**30, 1e300),
    )


def _known_by(email: str) -> Change:
    return lambda it: it.token(claims={n: v for n, v in it.claims.items() if n != "sub"} | {"email": email})


TIMES = (
    *_no_time("iat"),
    *_no_time("exp"),
    *_no_time("nbf"),
    *_times(1_000),
    *_times(1_000_000),
    *_times(1_000_000_000),
    *each_value("iat", "token_too_old", 0, 0.0, -0.0, 1),
    *each_value("exp", "token_expired", 0, 0.5, 1),
    Case("fractional seconds", ACCEPTED, claims_later(iat=-0.25, nbf=-0.25, exp=59.75)),
    Case("iat with an exponent", ACCEPTED, lambda it: it.token(
        claims=it.payload.replace(f'"iat": {it.now}', f'"iat": {it.now}.0e0').encode())),
    Case("iat within the skew ahead", ACCEPTED, later("iat", 25)),
    Case("iat beyond the skew ahead", "token_not_yet_valid", later("iat", 45)),
    Case("iat a year ahead", "token_not_yet_valid", claims_later(iat=31e6, nbf=31e6, exp=31e6 + 60)),
    Case("nbf within the skew ahead", ACCEPTED, later("nbf", 25)),
    Case("nbf beyond the skew ahead", "token_not_yet_valid", later("nbf", 45)),
    Case("iat as old as is allowed", ACCEPTED, later("iat", -295)),
    Case("iat within the skew older", ACCEPTED, later("iat", -325)),
    Case("iat too old", "token_too_old", later("iat", -335)),
    Case("exp ten years ahead: iat bounds it", ACCEPTED, later("exp", 315e6)),
    Case("expired within the skew", ACCEPTED, claims_later(iat=-60, nbf=-60, exp=-25)),
    Case("expired beyond the skew", "token_expired", claims_later(iat=-60, nbf=-60, exp=-35)),
    Case("expired, though issued now", "token_expired", later("exp", -100)),
    Case("exp before iat", INVALID, claims_later(iat=5, exp=4)),
    Case("exp at iat", ACCEPTED, claims_later(iat=0, exp=0)),
    Case("nbf after exp", "token_not_yet_valid", claims_later(nbf=90, exp=60)),
)  # fmt: skip

PRESENCE = (
    *(Case(f"{name} is missing", MISSING, without(name)) for name in ("iat", "exp", "jti", "email", "iss", "aud")),
    Case("nbf is missing, and not required", ACCEPTED, without("nbf")),
    Case("sub is missing, and a new e-mail address is the id", ACCEPTED, _known_by("new@example.com")),
    Case("groups and names are missing", ACCEPTED, without("groups", "given_name", "family_name")),
    Case("iat and exp are missing", MISSING, without("iat", "exp")),
    Case("nothing is there", MISSING, lambda it: it.token(claims={})),
    Case("IAT in capitals, as a published page has it", MISSING, renamed("iat", "IAT")),
    Case("JTI in capitals", MISSING, renamed("jti", "JTI")),
    Case("EXP in capitals", MISSING, renamed("exp", "EXP")),
    Case("Email with a capital", MISSING, renamed("email", "Email")),
    Case("exp in Cyrillic letters", MISSING, renamed("exp", "ехр")),
    Case("exp with one Cyrillic letter", MISSING, renamed("exp", "еxp")),
    Case("exp without a name, as a published page has it", MISSING, renamed("exp", "")),
    Case("exp with a space behind it", MISSING, renamed("exp", "exp ")),
    Case("jti with a zero-width space", MISSING, renamed("jti", "j\u200bti")),
    Case("the claims below another one", MISSING, lambda it: it.token(claims={"claims": it.claims})),
    Case("the names of the claims only", "token_malformed", payload_text(lambda t: json.dumps([*json.loads(t)]))),
)

JTI = (
    *each_value("jti", INVALID, None, "", 12345, 1.5, True, [], ["a"], {}, {"id": "a"}, "x" * 513),
    Case("a jti of 512 characters", ACCEPTED, edited("jti", lambda jti: f"{jti:a<512}")),
    Case("a jti with plus, slash and padding", ACCEPTED, edited("jti", lambda jti: jti + "+/==")),
    Case("a jti with a NUL", "token_malformed", edited("jti", lambda jti: jti + "\0")),
    Case("a jti with a line break", ACCEPTED, edited("jti", lambda jti: jti + "\r\n")),
    Case("a jti with a quote", ACCEPTED, edited("jti", lambda jti: jti + "'--")),
    Case("a jti with an emoji", ACCEPTED, edited("jti", lambda jti: jti + "😀")),
    Case("a jti with spaces around it", ACCEPTED, edited("jti", lambda jti: f" {jti} ")),
)

PARTIES = (
    *each_value("iss", INVALID, None, "", 1, True, [ISSUER], {"iss": ISSUER}),
    *each_value(
        "iss", "issuer_mismatch", ISSUER + "/", ISSUER.upper(), ISSUER[:-1], ISSUER + ".evil.example", " " + ISSUER
    ),
    *each_value("iss", "issuer_mismatch", "https://idp.ехample.com", "x" * 2000, "null", "line\nbreak"),
    *each_value("aud", INVALID, None, "", 1, True, {}, {"aud": AUDIENCE}),
    *each_value("aud", INVALID, [], [AUDIENCE, 1], [AUDIENCE, ""], [[AUDIENCE]], [None]),
    *each_value(
        "aud", "audience_mismatch", "https://other.example.com", AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1]
    ),
    *each_value("aud", "audience_mismatch", f"{AUDIENCE} https://x.example", f"{AUDIENCE},x", "*", AUDIENCE + "\n"),
    *each_value("aud", "audience_mismatch", ["https://other.example.com"], ["a", "b"]),
    *each_value("aud", ACCEPTED, [AUDIENCE], [AUDIENCE, "https://other.example.com"], [AUDIENCE, AUDIENCE]),
    *each_value("sub", INVALID, None, "", 7, True, ["alice"], {"id": 7}, "a\nb", "a\u200bb", "x" * 513),
    *each_value("nonce", INVALID, None, "", 7, False, [], {}),
)


def _type(code: str, *types: str) -> tuple[Case, ...]:
    return tuple(Case(f"typ {typ[:30]!r}", code, header(typ=typ)) for typ in types)


TYPES = (
    *_type(ACCEPTED, "JWT", "jwt", "Jwt", "jWt"),
    Case("no typ", ACCEPTED, header_without("typ")),
    *_type(OTHER_TYPE, "", " JWT", "JWT ", "JOSE", "JWS", "JWT+JWT", "JWT\u0001", "ЈWT", "J\nWT", "x" * 300),
    *_type(OTHER_TYPE, "at+jwt", "application/jwt", "application/at+jwt", "logout+jwt", "LOGOUT+JWT", "secevent+jwt"),
    *_type(OTHER_TYPE, "assertion+jwt", "dpop+jwt", "id_token"),
    Case("Type instead of typ, as a published page has it", ACCEPTED, header_and('"Type":"JWT"')),
    *each_value("events", OTHER_TYPE, LOGOUT_EVENT, {}, None, [], "logout", 0),
    Case("a whole sign-out token", OTHER_TYPE, lambda it: it.token(
        header={**it.header, "typ": "logout+jwt"}, claims={**it.claims, "events": LOGOUT_EVENT})),
    Case("a sign-out token whose typ was left out", OTHER_TYPE, lambda it: it.token(
        header={"alg": it.header["alg"]}, claims={**it.claims, "events": LOGOUT_EVENT})),
)  # fmt: skip

PROFILES = (
    *each_value("email", MISSING, None, ""),
    *each_value("email", INVALID, 7, True, [], ["alice@example.com"], {"value": "alice@example.com"}),
    *each_value("email", INVALID, "alice", "@example.com", "alice@", "@", "＠", "alice@@example.com"),
    *each_value("email", INVALID, "alice@example.com@evil.example", "alice＠example.com@evil.example"),
    *each_value(
        "email", INVALID, "a b@example.com", " alice@example.com", "alice@example.com ", "alice@exam\u00a0ple.com"
    ),
    *each_value(
        "email", INVALID, "alice@example.com\x01", "alice@example.com\n", "alice\t@example.com", "a@b.c\r\nBcc: x@y.z"
    ),
    *each_value("email", INVALID, "al\u200bice@example.com", "al\u202eice@example.com", "al\u2028ice@example.com"),
    *each_value("email", INVALID, "a" * 243 + "@example.com", "ﷺ" * 100 + "@example.com"),
    *each_value(
        "email", ACCEPTED, "ALICE@EXAMPLE.COM", "o'hara+tag@example.com", "müller@example.com", "user@localhost"
    ),
    *each_value("email", ACCEPTED, "a" * 242 + "@example.com"),
    *each_value("given_name", INVALID, True, [], ["Alice"], {}, 1.5, "x" * 1001),
    *each_value("given_name", ACCEPTED, None, "", 7, "x" * 1000, "Алиса", "李", "a\nb"),
    *each_value("groups", INVALID, 7, True, {}, [1], [None], [["staff"]], ["x"] * 501, ["x" * 1001]),
    *each_value("groups", ACCEPTED, None, "", "staff", [], ["staff", "staff", ""], ["ж"]),
)

# Zendesk's tokens: no exp, three minutes, and a jti that may be a number.
ZENDESK = among(
    "zendesk",
    Case("the token of the published samples", ACCEPTED, text(lambda t: t)),
    Case("jti is a whole number", ACCEPTED, edited("jti", lambda jti: int(jti, 16) >> 40)),
    *each_value("jti", INVALID, 1.5, True, None, "", [], {}, 10**600),
    Case("name is missing", MISSING, without("name")),
    Case("jti is missing", MISSING, without("jti")),
    Case("iat is missing, and exp as well", MISSING, without("iat")),
    Case("iat came as exp", MISSING, renamed("iat", "exp")),
    Case("three minutes old", ACCEPTED, later("iat", -175)),
    Case("older than three minutes", "token_too_old", later("iat", -215)),
    Case("an exp of its own, run out", "token_expired", claims_later(iat=-100, exp=-40)),
    Case("signed with another algorithm", "algorithm_not_allowed", header(alg="HS512")),
)

CASES = (*TIMES, *PRESENCE, *JTI, *PARTIES, *TYPES, *PROFILES, *ZENDESK)
