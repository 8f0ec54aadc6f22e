"""Faulty sign-ins over HTTP: the first line of each trace, as it was written when it happened, names the true cause.

The faults are those that published samples make (docs of iSpring, Zendesk, LoginRadius, Freshworks), that people ask
about, and that we made ourselves while connecting products.
"""

import hmac
import json
import os
import re
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lab.cast import ALICE, BOB, CAROL, MALLORY
from lab.clock import Clock
from lab.forging import forge
from lab.minting import mint, sign_text
from shared.keys import generate_key, load_key
from shared.tokens import SIGN_OUT_TYPE, sign
from sp.activity import reading
from sp.activity.trace import Trace
from tests.support.gateway import core_of, make_gateway

SECRET = b64encode(b"a secret of the cast, long enough for SHA-256").decode()
PARTNER_SECRET = "the secret of the partner, forty-eight characters"
ISSUER, AUDIENCE = "https://idp.partner.example/", "https://sp.example.org"
ES256 = generate_key("ES256")
OTHER_JWK = json.dumps(load_key(generate_key("ES256"), "ES256").native.as_dict(private=True))
OPEN: dict[str, Any] = {"keys": [SECRET], "login_url": "http://127.0.0.1:1/", "unsolicited": "accept"}
PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "corporate": {**OPEN, "default": True},
    "partner": {**OPEN, "keys": [PARTNER_SECRET], "issuer": {"expected": ISSUER}, "audience": {"expected": AUDIENCE}},
    "bound": {**OPEN, "require_nonce": True},
    "asked": {**OPEN, "unsolicited": "refuse"},
    "pairs": {**OPEN, "algorithm": "ES256", "keys": [ES256]},
    "resting": {**OPEN, "enabled": False},
    "closed": {**OPEN, "auto_create": False},
    "apart": {**OPEN, "auto_lookup": False, "mapping": {"id": "sub"}},
    "domains": {**OPEN, "email_domains": ["example.com"]},
    "headers": {**OPEN, "deliveries": ["header"]},
    "hasty": {**OPEN, "expiry_adjustment": -100},
    "zendesk": {"preset": "zendesk", "keys": [SECRET], "unsolicited": "accept"},
    "strict": {
        **OPEN,
        "preset": "strict",
        "require_nonce": False,
        "required_claims": ["iss", "aud", "sub", "iat", "exp", "nbf", "jti"],
        "issuer": {"expected": ISSUER, "required": True},
        "audience": {"expected": AUDIENCE, "required": True},
    },
}


@dataclass(frozen=True)
class Sender:
    """Sends tokens to a gateway as a faulty identity provider makes a browser send them."""

    app: Flask
    client: FlaskClient

    def get(self, token: str, provider: str = "corporate", **query: Any) -> TestResponse:
        return self.client.get(f"/sso/login/jwt/{provider}", query_string={"jwt": token, **query})

    def post(self, token: str, provider: str = "corporate", **fields: Any) -> TestResponse:
        return self.client.post(f"/sso/login/jwt/{provider}", data={"jwt": token, **fields})

    def start(self, provider: str) -> str:
        """Start a sign-in in this browser, and return its nonce."""
        self.client.set_cookie("seen", "yes")  # or the gateway would first test whether cookies come back
        location = self.client.get(f"/sso/start/{provider}", headers={"Sec-Fetch-Site": "none"}).location
        return parse_qs(urlsplit(location).query)["nonce"][0]


Send = Callable[[Sender], TestResponse]


def claims(**changed: Any) -> dict[str, Any]:
    """Return good claims with changes; None leaves a claim out."""
    now = int(time.time())
    good = {"iat": now, "jti": os.urandom(16).hex(), "exp": now + 60, "email": ALICE.email, **changed}
    return {name: value for name, value in good.items() if value is not None}


def token(key: str = SECRET, /, **changed: Any) -> str:
    return mint(claims(**changed), key)


def partner(**changed: Any) -> str:
    return token(PARTNER_SECRET, **{"iss": ISSUER, "aud": AUDIENCE, **changed})


def strict(**changed: Any) -> str:
    now = int(time.time())
    return token(**{"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "nbf": now, **changed})


def sent(make: Callable[[], str], provider: str = "corporate") -> Send:
    return lambda sender: sender.get(make(), provider)


def with_key(mistaken: Callable[[bytes], bytes]) -> Send:
    """Send a token that is signed with what somebody made of the secret."""

    def send(sender: Sender) -> TestResponse:
        key = mistaken(SECRET.encode())
        header = {"typ": "JWT", "alg": "HS256"}
        return sender.get(forge(header, json.dumps(claims()).encode(), lambda m: hmac.digest(key, m, "sha256")))

    return send


def later(seconds: int) -> dict[str, int]:
    now = int(time.time())
    return {"iat": now + seconds, "exp": now + seconds + 60}


def padded(text: str) -> str:
    return ".".join(part + "=" * (-len(part) % 4) for part in text.split("."))


def twice(sender: Sender) -> TestResponse:
    one = token()
    sender.get(one)
    sender.client.delete_cookie("sp_session")
    return sender.get(one)


def stored_token(sender: Sender) -> TestResponse:
    """Sign in with a token that is nearly too old, and send it again after its time."""
    old = token(**later(-80))
    assert sender.get(old).location == "/"
    clock = Clock()
    clock.tick(seconds=30)
    try:
        return sender.get(old)
    finally:
        clock.reset()


def behind(sender: Sender) -> TestResponse:
    nonce = sender.start("bound")
    return sender.get(token(nonce=nonce, **later(-150)), "bound")


def nonce_of_another(sender: Sender) -> TestResponse:
    sender.start("bound")
    return sender.get(token(nonce="x" * 32), "bound")


def changed_nonce(change: Callable[[str], str]) -> Send:
    return lambda sender: sender.get(token(nonce=change(sender.start("bound"))), "bound")


def answered_in_another_browser(sender: Sender) -> TestResponse:
    return Sender(sender.app, sender.app.test_client()).get(token(nonce=sender.start("bound")), "bound")


def unsigned() -> str:
    head = urlsafe_b64encode(b'{"typ":"JWT","alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token().split('.')[1]}."


def with_header(**header: Any) -> Callable[[], str]:
    return lambda: mint(claims(), SECRET, header)


def by_disabled_bob(sender: Sender) -> TestResponse:
    assert sender.get(token(email=BOB.email)).location == "/"
    core = core_of(sender.app)
    core.people.disable(core.people.find(BOB.email).id, actor="test")  # type: ignore[union-attr]
    return sender.get(token(email=BOB.email))


def as_carol(sender: Sender) -> TestResponse:
    core_of(sender.app).people.create_administrator(CAROL.email, CAROL.password)
    return sender.get(token(email=CAROL.email, sub="mallory"), "closed")


def same_email(provider: str) -> Send:
    def send(sender: Sender) -> TestResponse:
        sender.get(token(email=ALICE.email))
        return sender.get(token(sub="another-id"), provider)

    return send


def back_channel(make: Callable[[], str]) -> Send:
    return lambda sender: sender.client.post("/sso/logout/backchannel", data={"logout_token": make()})


def sign_out_token(**changed: Any) -> str:
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    content = claims(events=events, sub="alice", **changed)
    return mint(content, SECRET, {"typ": SIGN_OUT_TYPE, "alg": "HS256"})


def password(email: str, typed: str) -> Send:
    def send(sender: Sender) -> TestResponse:
        core = core_of(sender.app)
        core.people.create_administrator(CAROL.email, CAROL.password)
        form = sender.client.get("/login?no_sso").text
        csrf = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', form)[0]
        return sender.client.post("/login", data={"email": email, "password": typed, "csrf_token": csrf})

    return send


def mobile(**form: str) -> Send:
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return lambda sender: sender.client.post("/sso/token", data={"grant_type": grant, **form})


# name: (how it is sent, code, what the first line says)
FAULTS: dict[str, tuple[Send, str, str]] = {
    # the key
    "a line break behind the secret": (
        with_key(lambda key: key + b"\n"),
        "signature_invalid",
        r"The signature matches the secret \w+ with a line break",
    ),
    "a Windows line break behind the secret": (
        with_key(lambda key: key + b"\r\n"),
        "signature_invalid",
        "with a Windows line break behind it",
    ),
    "the secret decoded from base64": (with_key(b64decode), "signature_invalid", "decoded from base64"),
    "the secret encoded in base64": (with_key(b64encode), "signature_invalid", "encoded in base64"),
    "the secret in quotation marks": (
        with_key(lambda key: b'"' + key + b'"'),
        "signature_invalid",
        "in quotation marks",
    ),
    "the last character of the secret not copied": (
        with_key(lambda key: key[:-1]),
        "signature_invalid",
        "without its last character",
    ),
    "another secret": (
        sent(lambda: token("another secret, of another house, long enough")),
        "signature_invalid",
        r"signed with another key than the one configured here \(\w+\)",
    ),
    "the secret of another provider, sent to the wrong URL": (
        sent(lambda: partner()),
        "signature_invalid",
        "the key of the provider partner: it was sent to the wrong URL",
    ),
    "a kid that is unknown": (
        lambda sender: sender.get(
            sign(claims(), load_key(json.dumps({**json.loads(OTHER_JWK), "kid": "old"}), "ES256"), kid=True), "pairs"
        ),
        "signature_invalid",
        "The kid in the header is unknown|signed with another key",
    ),
    # the algorithm
    "HS512 in place of HS256": (
        sent(lambda: sign(claims(), load_key("s" * 64, "HS512"))),
        "algorithm_not_allowed",
        "signed with HS512, but this provider is set to HS256",
    ),
    "no signature": (sent(unsigned), "algorithm_not_allowed", "not signed: its alg is none"),
    "alg in lower case": (
        sent(with_header(typ="JWT", alg="hs256")),
        "algorithm_not_allowed",
        "alg hs256; it must be written HS256",
    ),
    "ES256 of another provider": (
        sent(lambda: sign(claims(), load_key(ES256, "ES256"))),
        "algorithm_not_allowed",
        "with ES256 and the key of the provider pairs",
    ),
    "ALG and Type in capitals": (
        sent(with_header(Type="JWT", ALG="HS256")),
        "token_malformed",
        "The header has (Type|ALG); it must be",
    ),
    # times
    "iat in milliseconds": (
        sent(lambda: token(iat=int(time.time() * 1000))),
        "claim_invalid",
        r"iat is in milliseconds.* send 1\d{9}\.",
    ),
    "exp in milliseconds": (
        sent(lambda: token(exp=int(time.time() * 1000) + 60000)),
        "claim_invalid",
        "exp is in milliseconds",
    ),
    "exp in nanoseconds": (sent(lambda: token(exp=time.time_ns())), "claim_invalid", "exp is in nanoseconds"),
    "iat as a date": (
        sent(lambda: token(iat="2026-11-26T20:15:00Z")),
        "claim_invalid",
        "iat must be a number.*date as a string",
    ),
    "exp in quotation marks": (
        sent(lambda: token(exp=str(int(time.time()) + 60))),
        "claim_invalid",
        "exp must be.*without quotation marks",
    ),
    "the sender's clock is 100 seconds ahead": (
        sent(lambda: token(**later(100))),
        "token_not_yet_valid",
        "sender's clock is (99|100) s ahead of ours; clock_skew",
    ),
    "local time in place of UTC, ahead": (
        sent(lambda: token(**later(7200))),
        "token_not_yet_valid",
        "(7200|7199) s ahead of ours: .*local time",
    ),
    "only nbf is later": (
        sent(lambda: token(nbf=int(time.time()) + 300)),
        "token_not_yet_valid",
        "nbf is (299|300) s in the future",
    ),
    "the sender's clock is 150 seconds behind": (
        behind,
        "token_expired",
        r"sender's clock is at least 1(49|50|51) s behind ours: its iat",
    ),
    "local time in place of UTC, behind": (
        sent(lambda: token(**later(-3600))),
        "token_expired",
        "360[01] s behind ours: .*local time",
    ),
    "a token that was stored and never used": (
        sent(lambda: token(**later(-200))),
        "token_expired",
        "is 20[01] s old by our clock .*stored token",
    ),
    "a stored token, used before": (
        stored_token,
        "token_expired",
        r"sent a stored token.*used before, at 20\d\d.*: reference",
    ),
    "max_age is over": (
        sent(lambda: token(iat=int(time.time()) - 500, exp=int(time.time()) + 60)),
        "token_too_old",
        r"50[01] s old.*max_age is 300",
    ),
    "exp before iat": (sent(lambda: token(exp=int(time.time()) - 10)), "claim_invalid", "exp is before iat"),
    "expiry_adjustment takes the lifetime away": (
        sent(lambda: token(), "hasty"),
        "token_expired",
        "(60|59) s left, but expiry_adjustment takes 100 s",
    ),
    "no exp, and old": (
        lambda sender: sender.post(token(name="A", exp=None, iat=int(time.time()) - 400), "zendesk"),
        "token_too_old",
        "max_age is 180",
    ),
    # claims
    "mail in place of email": (
        sent(lambda: token(email=None, mail=ALICE.email)),
        "claim_missing",
        "email is missing. The token has 'mail' instead",
    ),
    "IAT in capitals": (
        sent(lambda: token(iat=None, IAT=int(time.time()))),
        "claim_missing",
        "iat is missing. The token has 'IAT'",
    ),
    "JTI in capitals": (
        sent(lambda: token(jti=None, JTI="abcdefgh")),
        "claim_missing",
        "jti is missing. The token has 'JTI'",
    ),
    "exp in Cyrillic letters": (
        sent(lambda: token(exp=None, **{"\u0435\u0445\u0440": int(time.time()) + 60})),
        "claim_missing",
        "exp is missing.*Cyrillic",
    ),
    "no jti": (sent(lambda: token(jti=None)), "claim_missing", "jti is missing. The token has only: iat, exp, email"),
    "email inside an object": (
        sent(lambda: token(email=None, user={"email": ALICE.email})),
        "claim_missing",
        "inside the object 'user': map the field to user.email",
    ),
    "an empty email": (sent(lambda: token(email="")), "claim_missing", "email is there, but it is empty"),
    "a numeric jti": (sent(lambda: token(jti=795309803)), "claim_invalid", "jti must be text.*quotation marks"),
    "an email without @": (sent(lambda: token(email="alice")), "claim_invalid", "email is not an e-mail address"),
    "an array as the payload": (
        sent(lambda: sign_text(json.dumps([claims()]), SECRET)),
        "token_malformed",
        "not a JSON object. It is a list",
    ),
    "the payload encoded twice": (
        sent(lambda: sign_text(json.dumps(json.dumps(claims())), SECRET)),
        "token_malformed",
        "encoded as JSON twice",
    ),
    "single quotes in the payload": (
        sent(lambda: sign_text(str(claims()), SECRET)),
        "token_malformed",
        "single quotes",
    ),
    "one claim twice": (
        sent(lambda: sign_text(json.dumps(claims())[:-1] + ', "iat": 1}', SECRET)),
        "token_malformed",
        "same name twice",
    ),
    "a control character in a name": (
        sent(lambda: strict(given_name="Al\u200bice"), "strict"),
        "claim_invalid",
        "given_name has control or format",
    ),
    "a lifetime of a day": (
        sent(lambda: strict(exp=int(time.time()) + 86_400), "strict"),
        "claim_invalid",
        "exp is more than 300 seconds after iat",
    ),
    "too many groups": (
        lambda sender: sender.post(token(groups=[f"group-{n}" for n in range(900)])),
        "token_malformed",
        "bytes; at most 8192 are allowed; the largest claim is groups",
    ),
    # the issuer and the audience
    "the issuer without its slash": (
        sent(lambda: partner(iss=ISSUER[:-1]), "partner"),
        "issuer_mismatch",
        "only in the slash at its end",
    ),
    "the issuer with http": (
        sent(lambda: partner(iss=ISSUER.replace("https", "http")), "partner"),
        "issuer_mismatch",
        "only in http and https",
    ),
    "issuer and audience swapped": (
        sent(lambda: partner(iss=AUDIENCE, aud=ISSUER), "partner"),
        "issuer_mismatch",
        "iss and aud are swapped",
    ),
    "another audience": (
        sent(lambda: partner(aud="https://other.example"), "partner"),
        "audience_mismatch",
        "aud is https://other.example, expected https://sp.example.org",
    ),
    "a foreign token's claim": (
        sent(lambda: strict(scope="openid"), "strict"),
        "token_type_wrong",
        "scope belongs to another kind",
    ),
    "a sign-out token at the sign-in": (sent(lambda: sign_out_token()), "token_type_wrong", "type logout.jwt"),
    # delivery
    "the JWT under another parameter": (
        lambda sender: sender.client.get("/sso/login/jwt", query_string={"token": token()}),
        "token_missing",
        "in the query parameter token; it is expected in the parameter jwt",
    ),
    "the JWT in another form field": (
        lambda sender: sender.client.post("/sso/login/jwt", data={"id_token": token()}),
        "token_missing",
        "in the form field id_token",
    ),
    "the JWT in JSON": (
        lambda sender: sender.client.post("/sso/login/jwt", json={"jwt": token()}),
        "token_missing",
        "in the JSON member jwt",
    ),
    "another scheme than Bearer": (
        lambda sender: sender.client.get("/sso/login/jwt", headers={"Authorization": f"JWT {token()}"}),
        "token_missing",
        "has the scheme JWT; a token needs the scheme Bearer",
    ),
    "an empty parameter": (lambda sender: sender.get(""), "token_missing", "jwt is there, but it is empty"),
    "a SAML response": (
        lambda sender: sender.client.post("/sso/login/jwt", data={"SAMLResponse": "PHNhbWw+"}),
        "token_missing",
        "SAML",
    ),
    "an error of the identity provider": (
        lambda sender: sender.client.get("/sso/login/jwt?error=access_denied"),
        "token_missing",
        "answered with an error",
    ),
    "two tokens": (
        lambda sender: sender.client.post("/sso/login/jwt", query_string={"jwt": token()}, data={"jwt": token()}),
        "token_malformed",
        "2 tokens, but must have one: form, query",
    ),
    "by query where only the header is allowed": (
        sent(lambda: token(), "headers"),
        "delivery_not_allowed",
        "arrived by query; allowed: header",
    ),
    "a misspelled provider": (
        lambda sender: sender.get(token(), "corprate"),
        "provider_unknown",
        "no provider corprate.*means corporate",
    ),
    "a disabled provider": (lambda sender: sender.get(token(), "resting"), "provider_disabled", "resting is disabled"),
    # the form of the token
    "an encrypted token": (
        sent(lambda: f"{token()}.{'a' * 16}.{'b' * 16}"),
        "token_malformed",
        r"encrypted \(five parts\)",
    ),
    "a truncated token": (
        sent(lambda: token().rpartition(".")[0]),
        "token_malformed",
        "A part is missing: the token was truncated",
    ),
    "padding": (sent(lambda: padded(token())), "token_malformed", "padded with ="),
    "quotation marks": (sent(lambda: f'"{token()}"'), "token_malformed", "in quotation marks. Remove them"),
    "Bearer in the parameter": (sent(lambda: f"Bearer {token()}"), "token_malformed", "Remove the word Bearer"),
    "a line break behind the token": (sent(lambda: f"{token()}\n"), "token_malformed", "white space or a line break"),
    "percent-encoded twice": (
        sent(lambda: quote(padded(token()))),
        "token_malformed",
        "percent-encoded once too often",
    ),
    "a whole URL": (sent(lambda: f"https://x.example/?jwt={token()}"), "token_malformed", "whole URL"),
    # whose browser, how often
    "sent twice": (twice, "token_replayed", r"used before, at 20\d\d.*Z, from the same IP: reference [A-Z0-9]+"),
    "no nonce": (sent(lambda: token(), "bound"), "nonce_mismatch", "has no nonce, and one is required"),
    "the nonce of another sign-in": (
        nonce_of_another,
        "nonce_mismatch",
        "another sign-in than the sign-in that this browser",
    ),
    "the nonce cut off": (changed_nonce(lambda n: n[:20]), "nonce_mismatch", "changed the nonce: it is cut to 20"),
    "the nonce in capitals": (changed_nonce(str.upper), "nonce_mismatch", "changed the nonce: it is in other capitals"),
    "started in another browser": (
        answered_in_another_browser,
        "nonce_mismatch",
        "has not started a sign-in here and sent no cookies",
    ),
    "unsolicited": (sent(lambda: token(), "asked"), "unsolicited", "had not started a sign-in here.*refuse"),
    # accounts
    "bob is disabled": (by_disabled_bob, "user_disabled", r"the account \d+ is disabled"),
    "nobody is created": (sent(lambda: token(email="new@example.org"), "closed"), "user_unknown", "auto_create is off"),
    "an account has the e-mail address": (same_email("apart"), "email_conflict", "auto_lookup is off"),
    "an administrator's e-mail address": (as_carol, "email_conflict", "e-mail address of an administrator"),
    "another domain": (
        sent(lambda: token(email="eve@example.org"), "domains"),
        "email_not_allowed",
        "domain example.org is not in email_domains: example.com",
    ),
    # sign-out, clients, passwords
    "a sign-in token at the sign-out": (
        back_channel(lambda: token()),
        "token_type_wrong",
        "not a sign-out token: its typ",
    ),
    "a sign-out signed with another key": (
        back_channel(lambda: mint(claims(), SECRET + "x")),
        "signature_invalid",
        "signed with another key",
    ),
    "an assertion of another provider": (
        mobile(assertion=partner(), provider="corporate"),
        "signature_invalid",
        "of the provider partner",
    ),
    "no assertion": (
        mobile(token="x"),
        "token_missing",
        "parameter assertion is missing; it has only grant_type, token",
    ),
    "a wrong password": (password(CAROL.email, "wrong"), "wrong_password", "local sign-in: wrong password"),
    "the password of an account without one": (
        password(ALICE.email, "wrong"),
        "wrong_password",
        r"the account \d+ has no password: single sign-on only",
    ),
    "a password for nobody": (password(MALLORY.email, "x"), "wrong_password", "no account has this e-mail address"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    made = make_gateway(tmp_path_factory.mktemp("sp"), PROVIDERS)
    yield made
    core_of(made).database.engine.dispose()


@pytest.fixture
def sender(app: Flask) -> Sender:
    return Sender(app, app.test_client())


def trace_of_last(app: Flask) -> Trace:
    return reading.latest(core_of(app).database, reading.Wanted(), 1)[0]


def test_there_are_sixty_faults() -> None:
    assert len(FAULTS) >= 60


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_line_names_the_true_cause(sender: Sender, name: str) -> None:
    send, code, line = FAULTS[name]
    answer = send(sender)
    trace = trace_of_last(sender.app)
    assert (trace.event, trace.code) == ("refused", code), trace.cause
    assert re.search(line, trace.cause), trace.cause
    assert len(trace.cause.encode()) <= 240
    assert answer.status_code != 500
    assert any(check.outcome == "failed" for check in trace.facts.checks) or code == "wrong_password"
