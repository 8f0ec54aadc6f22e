"""Clients without a browser: tokens are exchanged, used and revoked, and cookies have no part in it."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from lab.minting import mint
from shared.keys import KeySet, load_key_set
from shared.tokens import SIGN_OUT_TYPE, sign
from sp.redirects import add_query
from tests.sp.conftest import MakeGateway
from tests.support.gateway import core_of

KEY = "a secret of the cast, long enough for SHA-256"
SIGNING: KeySet = load_key_set([KEY], "HS256")
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PROVIDERS: dict[str, dict[str, Any]] = {
    "corporate": {"default": True, "keys": [KEY], "deliveries": ["query", "form"], "login_url": "http://127.0.0.1:1/"},
    "mobile": {"keys": [KEY[::-1]], "deliveries": ["header"], "preset": "strict", "unsolicited": "refuse"},
    "resting": {"keys": [KEY], "enabled": False},
}


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway(PROVIDERS)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    alice = {
        "iat": now,
        "exp": now + 60,
        "jti": str(time.perf_counter_ns()),
        "email": "alice@example.com",
        "given_name": "Alice",
        "family_name": "Liddell",
        "groups": ["staff", "büro"],
    }
    return {name: value for name, value in {**alice, **more}.items() if value is not None}


def exchange(client: FlaskClient, token: str | None = None, **form: Any) -> Any:
    data = {"grant_type": GRANT, "assertion": mint(claims(), KEY) if token is None else token, **form}
    return client.post("/sso/token", data={name: value for name, value in data.items() if value is not None})


def access_token(client: FlaskClient, **more: Any) -> str:
    granted: str = exchange(client, mint(claims(**more), KEY)).get_json()["access_token"]
    return granted


def userinfo(client: FlaskClient, authorization: str | None) -> Any:
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.get("/api/userinfo", headers=headers)


def count(app: Flask, table: str, **where: Any) -> int:
    condition = " AND ".join(f"{column} = :{column}" for column in where) or "1 = 1"
    with core_of(app).database.engine.connect() as connection:
        query = text(f"SELECT count(*) FROM {table} WHERE {condition}")  # noqa: S608  names from this file
        return int(connection.execute(query, where).scalar_one())


# Exchanging


def test_a_token_is_exchanged_for_an_access_token(app: Flask, client: FlaskClient) -> None:
    response = exchange(client)
    assert response.status_code == 200
    body = response.get_json()
    assert body.keys() == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 43200)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"].startswith("application/json")
    assert count(app, "session", kind="api") == 1
    assert count(app, "activity", event="sign_in", email="alice@example.com") == 1


def test_no_cookie_is_set_by_any_of_it(client: FlaskClient) -> None:
    granted = exchange(client)
    bearer = {"Authorization": f"Bearer {granted.get_json()['access_token']}"}
    answers = [
        granted,
        exchange(client, "nonsense"),
        client.get("/api/userinfo", headers=bearer),
        client.post("/sso/revoke", data={"token": granted.get_json()["access_token"]}),
    ]
    assert [answer.headers.getlist("Set-Cookie") for answer in answers] == [[]] * 4


def test_the_access_token_is_opaque_and_kept_as_a_hash_only(app: Flask, client: FlaskClient) -> None:
    granted = access_token(client)
    assert "." not in granted
    assert len(granted) == 43
    with core_of(app).database.engine.connect() as connection:
        rows = repr(connection.execute(text("SELECT * FROM session")).all())
    assert granted not in rows


def test_another_provider_is_named_by_its_parameter(client: FlaskClient) -> None:
    """The strict preset requires a nonce and a pending sign-in of browsers only."""
    now = int(time.time())
    token = mint(claims(sub="a", nbf=now, iss="https://idp", aud="https://sp"), KEY[::-1])
    assert exchange(client, token, provider="mobile").status_code == 200
    assert exchange(client, token, provider="corporate").get_json()["error"] == "invalid_grant"


STRANGERS_KEY = "another secret, of another house entirely"


@pytest.mark.parametrize(
    ("token", "provider", "code"),
    [
        (mint(claims(exp=1, iat=1), KEY), None, "token_expired"),
        (mint(claims(iat=int(time.time()) - 3000, exp=int(time.time()) + 9000), KEY), None, "token_too_old"),
        (mint(claims(iat=int(time.time()) + 3000, exp=int(time.time()) + 9000), KEY), None, "token_not_yet_valid"),
        (mint(claims(), STRANGERS_KEY), None, "signature_invalid"),
        (mint(claims(), KEY, {"alg": "HS512"}), None, "algorithm_not_allowed"),
        (mint(claims(), KEY, {"alg": "none"}), None, "algorithm_not_allowed"),
        (mint(claims(jti=None), KEY), None, "claim_missing"),
        (mint(claims(exp="soon"), KEY), None, "claim_invalid"),
        (sign(claims(events={}), SIGNING.keys[0], typ=SIGN_OUT_TYPE), None, "token_type_wrong"),
        ("nonsense", None, "token_malformed"),
        ("x" * 9000, None, "token_malformed"),
        (mint(claims(), KEY), "nobody", "provider_unknown"),
        (mint(claims(), KEY), "resting", "provider_disabled"),
    ],
)
def test_a_refusal_is_invalid_grant_with_our_code_first(
    token: str, provider: str | None, code: str, app: Flask, client: FlaskClient
) -> None:
    response = exchange(client, token, provider=provider)
    body = response.get_json()
    assert response.status_code == 400
    assert body["error"] == "invalid_grant"
    assert body["error_description"].startswith(f"{code}: ")
    assert response.headers["Cache-Control"] == "no-store"
    assert count(app, "session") == 0
    assert count(app, "spent_token") == 0
    assert count(app, "activity", event="refused", code=code, reference=body["reference"]) == 1


def test_the_description_keeps_to_the_characters_that_oauth_allows(client: FlaskClient) -> None:
    token = mint(claims(), KEY, {"alg": 'ä"\\\n'})
    description = exchange(client, token).get_json()["error_description"]
    assert all(" " <= character <= "~" and character not in '"\\' for character in description)


def test_attack_a_token_is_exchanged_once(app: Flask, client: FlaskClient) -> None:
    token = mint(claims(), KEY)
    assert exchange(client, token).status_code == 200
    assert exchange(client, token).get_json()["error_description"].startswith("token_replayed: ")
    assert count(app, "session") == 1


def test_attack_a_token_that_opened_a_browser_session_is_not_exchanged(app: Flask, client: FlaskClient) -> None:
    begun = client.get("/sso/start?return_to=/there")
    assert begun.status_code == 303
    token = mint(claims(), KEY)
    landed = client.post("/sso/login/jwt", data={"jwt": token})
    assert landed.headers["Location"] == "/there"
    assert exchange(app.test_client(), token).get_json()["error_description"].startswith("token_replayed: ")


def test_a_disabled_person_gets_no_access_token(app: Flask, client: FlaskClient) -> None:
    access_token(client)
    person = core_of(app).people.find("alice@example.com")
    assert person is not None
    core_of(app).people.disable(person.id)
    assert exchange(client).get_json()["error_description"].startswith("user_disabled: ")


def test_a_full_house_is_told(gateway: MakeGateway) -> None:
    client = gateway(PROVIDERS, SP_SEAT_LIMIT="1").test_client()
    assert exchange(client).status_code == 200
    full = exchange(client, mint(claims(email="bert@example.com"), KEY))
    assert full.get_json()["error_description"].startswith("seat_limit_reached: ")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": '<script>"'}, "unsupported_grant_type"),
        ({"grant_type": GRANT.upper()}, "unsupported_grant_type"),
        ({"assertion": ""}, "invalid_request"),
        ({"assertion": ["a.b.c", "a.b.c"]}, "invalid_request"),
        ({"grant_type": [GRANT, GRANT]}, "invalid_request"),
        ({"provider": ["corporate", "mobile"]}, "invalid_request"),
    ],
)
def test_a_request_that_is_built_wrongly_is_told_so(form: Mapping[str, Any], error: str, client: FlaskClient) -> None:
    response = exchange(client, **form)
    assert (response.status_code, response.get_json()["error"]) == (400, error)
    assert "<script>" not in response.text


def test_a_missing_assertion_is_in_the_activity_log(app: Flask, client: FlaskClient) -> None:
    assert exchange(client, "").get_json()["error_description"].startswith("token_missing: ")
    assert count(app, "activity", code="token_missing") == 1


def test_parameters_in_the_address_or_in_json_do_not_count(client: FlaskClient) -> None:
    token = mint(claims(), KEY)
    in_address = client.post(add_query("/sso/token", grant_type=GRANT, assertion=token))
    by_halves = client.post(add_query("/sso/token", grant_type=GRANT), data={"assertion": token})
    in_json = client.post("/sso/token", json={"grant_type": GRANT, "assertion": token})
    answers = [answer.get_json()["error"] for answer in (in_address, by_halves, in_json)]
    assert answers == ["invalid_request"] * 3
    assert exchange(client, token).status_code == 200  # neither has spent it


def test_only_post_is_answered(client: FlaskClient) -> None:
    assert [client.get(path).status_code for path in ("/sso/token", "/sso/revoke")] == [405, 405]


def test_a_store_that_cannot_answer_refuses_with_503_and_says_when_to_try_again(gateway: MakeGateway) -> None:
    client = gateway(PROVIDERS, SP_REPLAY_URL="redis://127.0.0.1:1/0").test_client()
    response = exchange(client)
    assert response.status_code == 503
    assert response.get_json()["error_description"].startswith("store_unavailable: ")
    assert int(response.headers["Retry-After"]) > 0


def test_plain_http_behind_a_proxy_does_not_stop_it(gateway: MakeGateway) -> None:
    """The proxy speaks http to us; that people come over https is what SP_EXTERNAL_URL says."""
    client = gateway(PROVIDERS, SP_EXTERNAL_URL="https://gate.example.com").test_client()
    data = {"grant_type": GRANT, "assertion": mint(claims(), KEY)}
    assert client.post("/sso/token", data=data, base_url="http://gate.example.com").status_code == 200


# Using


def test_userinfo_tells_whose_access_token_it_is(client: FlaskClient) -> None:
    response = userinfo(client, f"Bearer {access_token(client)}")
    assert response.status_code == 200
    body = response.get_json()
    assert body == {
        "sub": str(body["id"]),
        "id": body["id"],
        "email": "alice@example.com",
        "name": "Alice Liddell",
        "given_name": "Alice",
        "family_name": "Liddell",
        "login": None,
        "preferred_username": None,
        "groups": ["staff", "büro"],
        "attributes": {},
        "provider": "corporate",
    }
    assert response.headers["Cache-Control"] == "no-store"


def test_the_word_bearer_is_read_without_case(client: FlaskClient) -> None:
    assert userinfo(client, f"bEARER {access_token(client)}").status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "Bearer", "Token abc"])
def test_a_request_without_an_access_token_is_asked_for_one(authorization: str | None, client: FlaskClient) -> None:
    response = userinfo(client, authorization)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="lychgate"'  # RFC 6750, 3.1: no error code


@pytest.mark.parametrize("wrong", ["x" * 43, "x", "a b c", "é" * 43, "x" * 5000])
def test_a_wrong_access_token_is_invalid_token(wrong: str, client: FlaskClient) -> None:
    response = userinfo(client, f"Bearer {wrong}")
    assert response.status_code == 401
    assert response.get_json()["error"] == "invalid_token"
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="lychgate"')


def sign_in_browser(client: FlaskClient) -> str:
    client.get("/sso/start")
    client.post("/sso/login/jwt", data={"jwt": mint(claims(), KEY)})
    cookie = client.get_cookie("sp_session")
    assert cookie is not None
    return cookie.value


def test_attack_a_browsers_cookie_is_no_access_token(client: FlaskClient) -> None:
    """Neither by itself, or a foreign page could read the profile, nor copied into the header."""
    secret = sign_in_browser(client)
    assert client.get("/account").status_code == 200
    assert userinfo(client, None).status_code == 401
    assert userinfo(client, f"Bearer {secret}").status_code == 401


def test_attack_an_access_token_is_no_browsers_cookie(app: Flask, client: FlaskClient) -> None:
    thief = app.test_client()
    thief.set_cookie("sp_session", access_token(client))
    assert thief.get("/account").status_code == 303


def test_attack_a_sign_in_token_is_no_access_token(client: FlaskClient) -> None:
    assert userinfo(client, f"Bearer {mint(claims(), KEY)}").status_code == 401


def test_an_access_token_ends_with_its_person(app: Flask, client: FlaskClient) -> None:
    granted = access_token(client)
    person = core_of(app).people.find("alice@example.com")
    assert person is not None
    core_of(app).people.disable(person.id)
    assert userinfo(client, f"Bearer {granted}").status_code == 401


# Revoking


def revoke(client: FlaskClient, **form: Any) -> Any:
    return client.post("/sso/revoke", data=form)


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "access_token"}, {"token_type_hint": "whatever"}])
def test_a_revoked_access_token_is_over(hint: Mapping[str, str], app: Flask, client: FlaskClient) -> None:
    granted, other = access_token(client), access_token(client)
    assert revoke(client, token=granted, **hint).status_code == 200
    assert userinfo(client, f"Bearer {granted}").status_code == 401
    assert userinfo(client, f"Bearer {other}").status_code == 200
    assert count(app, "activity", event="sign_out") == 1


@pytest.mark.parametrize("unknown", ["x" * 43, "x", "", "a.b.c"])
def test_an_unknown_token_is_revoked_with_200_too(unknown: str, client: FlaskClient) -> None:
    assert revoke(client, token=unknown).status_code == 200


def test_a_revocation_without_a_token_is_invalid_request(client: FlaskClient) -> None:
    response = revoke(client)
    assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request")


def test_attack_the_session_of_a_browser_is_not_revoked(client: FlaskClient) -> None:
    """Otherwise, anyone who can post a form could sign people out without an access token."""
    secret = sign_in_browser(client)
    assert revoke(client, token=secret).status_code == 200
    assert client.get("/account").status_code == 200


# The Authorization header at the token endpoint


def by_header(client: FlaskClient, token: str, **options: Any) -> Any:
    return client.get("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"}, **options)


@pytest.fixture
def header_client(gateway: MakeGateway) -> FlaskClient:
    return gateway({"corporate": {**PROVIDERS["corporate"], "deliveries": ["header"]}}).test_client()


def test_a_token_in_the_header_gets_an_access_token_and_no_cookie(header_client: FlaskClient) -> None:
    response = by_header(header_client, mint(claims(), KEY))
    assert response.status_code == 200
    assert response.get_json().keys() == {"access_token", "token_type", "expires_in"}
    assert response.headers.getlist("Set-Cookie") == []
    assert userinfo(header_client, f"Bearer {response.get_json()['access_token']}").status_code == 200


def test_a_token_in_the_header_is_spent_once(header_client: FlaskClient) -> None:
    token = mint(claims(), KEY)
    assert by_header(header_client, token).status_code == 200
    refused = by_header(header_client, token)
    assert (refused.status_code, refused.get_json()["error"]) == (401, "token_replayed")


def test_a_header_that_is_not_allowed_is_refused_in_json(client: FlaskClient) -> None:
    response = by_header(client, mint(claims(), KEY))
    assert (response.status_code, response.get_json()["error"]) == (400, "delivery_not_allowed")


def test_a_header_is_refused_in_json_even_to_a_browser(header_client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {mint(claims(), STRANGERS_KEY)}", "Accept": "text/html"}
    response = header_client.get("/sso/login/jwt", headers=headers)
    assert (response.status_code, response.get_json()["error"]) == (401, "signature_invalid")


def test_a_head_request_spends_nothing(header_client: FlaskClient) -> None:
    token = mint(claims(), KEY)
    header_client.head("/sso/login/jwt", headers={"Authorization": f"Bearer {token}"})
    assert by_header(header_client, token).status_code == 200
