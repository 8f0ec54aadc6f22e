"""Check what each product gets against the product's published rules, with another JWT library than ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from shared.keys import generate_key, public_pem

from idp.presets import PRESETS
from idp.tests.support import ALICE, OTHER_KEY, Browser, Clock, register, token_in

jwt = pytest.importorskip("jwt", reason="pip install PyJWT: the tokens are verified by a library that is not ours")

SECRET = OTHER_KEY


def issue(app: Flask, preset: str, key: str = SECRET, query: str = "", **settings: Any) -> Any:
    """Return the answer that sends Alice to a service of this preset."""
    table = {"preset": preset, "return_url": f"https://{preset}.example/sso", "keys": [key], **settings}
    register(app, **{preset: table})
    return Browser(app).sign_in(service=preset, query=query)


def verify(token: str, key: str, algorithm: str, **options: Any) -> dict[str, Any]:
    """Return the claims, verified by PyJWT."""
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], **options)
    return claims


def test_ispring_gets_the_four_claims_of_its_samples(app: Flask, clock: Clock) -> None:
    answer = issue(app, "ispring")
    assert answer.status_code == 303
    assert answer.location.startswith("https://ispring.example/sso?jwt=")
    token = token_in(answer)
    claims = verify(token, SECRET, "HS256", options={"require": ["iat", "jti", "exp", "email"]})
    assert claims["email"] == ALICE.email
    assert claims["exp"] - claims["iat"] == 60
    assert isinstance(claims["jti"], str)
    assert claims["given_name"] == "Alice"
    assert claims["family_name"] == "Liddell"
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256"}


def test_zendesk_gets_its_four_claims_by_post_with_return_to_beside(app: Flask, clock: Clock) -> None:
    answer = issue(app, "zendesk", query="&return_to=https://zendesk.example/agent&brand_id=1&locale_id=8")
    assert answer.status_code == 200
    assert 'method="post" action="https://zendesk.example/sso?return_to=' in answer.text
    claims = verify(token_in(answer), SECRET, "HS256", options={"require": ["iat", "jti"]})
    assert claims["email"] == ALICE.email
    assert claims["name"] == "Alice Liddell"
    assert abs(claims["iat"] - clock()) < 180


def test_freshworks_gets_an_id_token_with_the_nonce_and_its_state_back(app: Flask) -> None:
    private = generate_key("RS256")
    query = "&client_id=451&state=st-1&nonce=n-1&response_type=id_token&redirect_uri=https://evil.example/"
    answer = issue(app, "freshworks", private, query)
    parts = urlsplit(answer.location)
    assert parts.netloc == "freshworks.example"
    assert parse_qs(parts.query)["state"] == ["st-1"]
    claims = verify(token_in(answer, "id_token"), public_pem(private), "RS256", options={"require": ["iat", "exp"]})
    assert claims["nonce"] == "n-1"
    assert (claims["email"], claims["given_name"], claims["family_name"]) == (ALICE.email, "Alice", "Liddell")
    assert claims["sub"]


def test_loginradius_gets_its_token_under_its_own_name(app: Flask) -> None:
    claims = verify(
        token_in(issue(app, "loginradius"), "jwttoken"),
        SECRET,
        "HS256",
        options={"require": ["iat", "exp", "jti", "sub"]},
    )
    assert claims["email"] == ALICE.email
    assert claims["id"] == claims["sub"]


def test_metabase_gets_names_groups_and_return_to(app: Flask) -> None:
    answer = issue(app, "metabase", query="&return_to=/question/1")
    assert parse_qs(urlsplit(answer.location).query)["return_to"] == ["/question/1"]
    claims = verify(token_in(answer), SECRET, "HS256", options={"require": ["exp"]})
    assert (claims["email"], claims["first_name"], claims["last_name"]) == (ALICE.email, "Alice", "Liddell")
    assert claims["groups"] == ["staff"]
    assert claims["exp"] - claims["iat"] <= 180


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512"])
def test_lychgate_gets_everything_under_every_algorithm(app: Flask, algorithm: str) -> None:
    material = generate_key(algorithm)
    key = public_pem(material) if material.startswith("-----") else material
    answer = issue(app, "lychgate", material, "&nonce=n-1", algorithm=algorithm)
    claims = verify(
        token_in(answer),
        key,
        algorithm,
        issuer="http://idp.example",
        audience="https://lychgate.example",
        options={"require": ["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "nonce", "sid", "auth_time", "amr"]},
    )
    assert claims["preferred_username"] == ALICE.email
    assert claims["groups"] == ["staff"]


def test_public_keys_are_published_and_verify(app: Flask) -> None:
    answer = issue(app, "lychgate", algorithm="ES256", keys=[])
    page = Browser(app).get("/.well-known/jwks.json")
    assert page.headers["Cache-Control"] == "public, max-age=300"
    published = jwt.PyJWKSet.from_dict(page.get_json())
    token = token_in(answer)
    header = jwt.get_unverified_header(token)
    assert set(header) == {"typ", "alg", "kid"}
    verify(token, published[header["kid"]].key, "ES256", audience="https://lychgate.example")


def test_secrets_are_never_published(app: Flask) -> None:
    issue(app, "lychgate")
    assert Browser(app).get("/.well-known/jwks.json").get_json() == {"keys": []}


@pytest.mark.parametrize("preset", [p for p in PRESETS if p not in ("lychgate", "discourse")])
def test_only_what_is_asked_for_is_sent(app: Flask, preset: str) -> None:
    key = generate_key("RS256") if preset == "freshworks" else SECRET
    answer = issue(app, preset, key, "&nonce=n-1")
    parameter = {"freshworks": "id_token", "loginradius": "jwttoken"}.get(preset, "jwt")
    claims = jwt.decode(token_in(answer, parameter), options={"verify_signature": False})
    assert not set(claims) & {"sid", "auth_time", "amr", "aud", "department"}
    assert ("nonce" in claims) == (preset == "freshworks")


def test_the_claims_mapping_adds_renames_and_drops(app: Flask) -> None:
    mapping = {"mail": "email", "department": "department", "preferred_username": "", "missing": "no_such_field"}
    claims = verify(token_in(issue(app, "ispring", claims=mapping)), SECRET, "HS256")
    assert claims["mail"] == ALICE.email
    assert claims["department"] == "Curiosity"
    assert "preferred_username" not in claims
    assert "missing" not in claims


def test_issuer_audience_and_lifetime_are_as_set(app: Flask) -> None:
    token = token_in(issue(app, "ispring", issuer="the-provider", audience="the-service", lifetime=30))
    claims = verify(token, SECRET, "HS256", issuer="the-provider", audience="the-service")
    assert claims["exp"] - claims["iat"] == 30


def test_no_two_tokens_share_their_id(app: Flask) -> None:
    issue(app, "ispring")
    browser = Browser(app)
    browser.sign_in(service="ispring")
    tokens = [token_in(browser.get("/login-token/?service=ispring")) for _ in range(50)]
    ids = {jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens}
    assert len(ids) == 50
    assert all(len(token_id) >= 22 for token_id in ids)  # 128 bits in base64url
