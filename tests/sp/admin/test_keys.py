"""Keys of a provider: they are changed without refusing anybody, shown once, and named by fingerprint after that."""

import re
import time
from typing import Any

import pytest
from flask import Flask

from lab.minting import ispring_token
from shared.keys import generate_key, load_key, public_pem
from shared.tokens import sign
from shared.web import moment
from sp.database.models import ProviderKey
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, PAGE, SECOND_KEY, administrator_of, stored, usable_keys
from tests.support.forms import Visitor, forms_of
from tests.support.gateway import core_of, make_gateway

ADD = f"{PAGE}/keys"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def signs_in(app: Flask, key: str) -> bool:
    """Tell whether a token that is signed with *key* opens a session."""
    answer = app.test_client().get("/sso/login/jwt", query_string={"jwt": ispring_token(key, "alice@example.com")})
    return "sp_session" in answer.headers.get("Set-Cookie", "")


def generate(carol: Visitor) -> str:
    carol.open(PAGE)
    carol.send(carol.form(ADD), "generate")
    found = re.search(r'<textarea[^>]* id="key"[^>]*>([^<]+)</textarea>', carol.page.text)
    assert found, carol.text
    return found[1]


def retire(carol: Visitor, fingerprint: str) -> None:
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{fingerprint}/retire"))
    if "You cannot restore the key." in carol.text:
        carol.send(carol.form(f"{PAGE}/keys/{fingerprint}/retire"))


# Changing a key


def test_a_key_is_changed_without_a_single_refused_sign_in(app: Flask, carol: Visitor) -> None:
    assert signs_in(app, KEY)
    new = generate(carol)
    assert signs_in(app, KEY)
    assert signs_in(app, new)
    retire(carol, stored(app).keys[0].fingerprint)
    assert signs_in(app, new)
    assert not signs_in(app, KEY)


def test_another_worker_takes_the_new_key_within_the_session_cache(app: Flask, carol: Visitor) -> None:
    config = core_of(app).config
    other = make_gateway(config.instance, SP_SESSION_CACHE="1")
    assert signs_in(other, KEY)
    new = generate(carol)
    time.sleep(1.05)
    assert signs_in(other, new)
    assert signs_in(other, KEY)
    core_of(other).database.engine.dispose()


def test_the_worker_that_made_the_change_knows_it_at_once(app: Flask, carol: Visitor) -> None:
    core_of(app).provider_registry._cache = 3600
    assert signs_in(app, KEY)
    assert signs_in(app, generate(carol))


def test_a_key_that_one_has_is_added(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(ADD).fill(material=f"  {SECOND_KEY}\n"))
    assert usable_keys(app) == [KEY, SECOND_KEY]
    assert SECOND_KEY not in carol.page.text


def test_a_new_key_signs_nothing_until_it_is_told_to(app: Flask, carol: Visitor) -> None:
    generate(carol)
    first, second = (key.fingerprint for key in stored(app).keys)
    assert signing_fingerprint(app) == first
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{second}/sign"))
    assert signing_fingerprint(app) == second
    assert {key.fingerprint for key in stored(app).keys} == {first, second}


def signing_fingerprint(app: Flask) -> str:
    key = core_of(app).provider_registry.get("corporate").signing_key
    assert key is not None
    return key.fingerprint


def test_the_list_shows_which_key_is_used(app: Flask, carol: Visitor) -> None:
    new = generate(carol)
    carol.open(PAGE)
    assert carol.text.count("not used yet") == 2
    signs_in(app, new)
    carol.open(PAGE)
    assert carol.text.count("not used yet") == 1
    assert stored(app).keys[0].last_used_at is None
    assert stored(app).keys[1].last_used_at is not None


def test_a_key_that_was_used_is_not_taken_away_without_a_question(app: Flask, carol: Visitor) -> None:
    assert signs_in(app, KEY)
    generate(carol)
    used, unused = (key.fingerprint for key in stored(app).keys)
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{used}/retire"))
    assert "Retire a key that is in use?" in carol.text
    assert "None of the remaining keys has ever been used." in carol.text
    assert carol.text.count("never used") == 1
    assert len(stored(app).keys) == 2
    assert signs_in(app, KEY)
    carol.send(carol.form(f"{PAGE}/keys/{used}/retire"))
    assert [key.fingerprint for key in stored(app).keys] == [unused]


def test_beside_a_key_that_is_used_the_question_says_when(app: Flask, carol: Visitor) -> None:
    assert signs_in(app, KEY)
    assert signs_in(app, generate(carol))
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{stored(app).keys[0].fingerprint}/retire"))
    assert "None of the remaining keys has ever been used." not in carol.text
    assert "Last used" in carol.text


def test_the_question_names_the_key_in_use_and_shows_when_each_was_used(app: Flask, carol: Visitor) -> None:
    """The old key was used as well, but the identity provider signs with the new one now."""
    assert signs_in(app, KEY)
    assert signs_in(app, generate(carol))
    old, new = stored(app).keys
    for key, in_use in ((new, True), (old, False)):
        carol.open(PAGE)
        carol.send(carol.form(f"{PAGE}/keys/{key.fingerprint}/retire"))
        assert ("This is the key in use" in carol.text) == in_use
        for one in (old, new):
            assert f"{one.fingerprint} {moment(one.created_at)} {moment(one.last_used_at)}" in carol.text
    assert len(stored(app).keys) == 2


def test_a_key_that_was_never_used_is_not_taken_away_without_a_question_either(app: Flask, carol: Visitor) -> None:
    generate(carol)
    unused = stored(app).keys[1].fingerprint
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{unused}/retire"))
    assert "Retire this key?" in carol.text
    assert "This is the key in use" not in carol.text
    assert len(stored(app).keys) == 2
    carol.send(carol.form(f"{PAGE}/keys/{unused}/retire"))
    assert "The key was retired." in carol.text
    assert usable_keys(app) == [KEY]


def test_the_question_says_which_key_signs_sign_outs_after_this(app: Flask, carol: Visitor) -> None:
    generate(carol)
    first, second = (key.fingerprint for key in stored(app).keys)
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{first}/retire"))
    assert f"After that, {second} signs them" in carol.text


def test_for_the_last_key_the_question_says_why_it_stays_and_has_no_button(app: Flask, carol: Visitor) -> None:
    (key,) = stored(app).keys
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys/{key.fingerprint}/retire"))
    assert "This is the last key of Corporate, so it cannot be retired" in carol.text
    assert forms_of(carol.page) == []
    assert stored(app).keys == (key,)


def test_the_last_key_may_be_retired_on_the_page_where_there_is_a_key_endpoint(gateway: MakeGateway) -> None:
    pem = public_pem(generate_key("ES256"))
    jwks = {"jwks_url": "http://127.0.0.1:1/jwks.json", "algorithm": "ES256", "keys": [pem]}
    app = gateway({"corporate": {**CORPORATE, **jwks}})
    retire(administrator_of(app), stored(app).keys[0].fingerprint)
    assert stored(app).keys == ()


# What is refused


def test_the_last_key_is_not_retired(app: Flask, carol: Visitor) -> None:
    generate(carol)
    first, second = (key.fingerprint for key in stored(app).keys)
    carol.open(PAGE)
    form = carol.form(f"{PAGE}/keys/{second}/retire")
    retire(carol, first)
    form.fields["confirmed"] = "1"
    carol.send(form)
    assert "the last key stays" in carol.text
    assert [key.fingerprint for key in stored(app).keys] == [second]


def test_the_last_key_may_go_where_there_is_a_key_endpoint(gateway: MakeGateway) -> None:
    pem = public_pem(generate_key("ES256"))
    jwks = {"jwks_url": "http://127.0.0.1:1/jwks.json", "algorithm": "ES256", "keys": [pem]}
    app = gateway({"corporate": {**CORPORATE, **jwks}})
    core_of(app).provider_editor.retire_key("corporate", stored(app).keys[0].fingerprint, actor="test")
    assert stored(app).keys == ()


@pytest.mark.parametrize(
    ("material", "words"),
    [
        ("", "Paste a key first, or generate one"),
        ("too short", "the secret has 9 bytes"),
        (KEY, "the same key is given twice"),
        ("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", "a PEM or SSH key cannot be a shared secret"),
        ('{"kty": "oct", "k": "c2VjcmV0"}', "a JWK cannot be a shared secret"),
    ],
)
def test_a_key_that_is_none_is_not_added(app: Flask, carol: Visitor, material: str, words: str) -> None:
    carol.open(PAGE)
    carol.send(carol.form(ADD).fill(material=material))
    assert words in carol.text
    assert usable_keys(app) == [KEY]


def test_sending_the_form_twice_generates_one_key(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    form = carol.form(ADD)
    carol.send(form, "generate")
    carol.send(form, "generate")
    assert "This provider was changed after you opened the page" in carol.text
    assert len(stored(app).keys) == 2


# Another algorithm


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_with_another_algorithm_a_new_key_takes_the_place_of_the_old_one(
    app: Flask, carol: Visitor, algorithm: str
) -> None:
    private = generate_key(algorithm)
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(algorithm=algorithm, keys=public_pem(private)))
    assert len(stored(app).keys) == 1
    claims = {"iat": int(time.time()), "exp": int(time.time()) + 60, "jti": "1", "email": "alice@example.com"}
    token = sign(claims, load_key(private, algorithm))
    answer = app.test_client().get("/sso/login/jwt", query_string={"jwt": token})
    assert "sp_session" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"algorithm": "RS256"}, "the stored keys do not fit"),
        ({"algorithm": "HS512"}, "bytes; HS512 needs 64"),
        ({"algorithm": "RS256", "keys": SECOND_KEY}, "a shared secret needs an HS algorithm"),
        ({"keys": KEY}, "the same key is given twice"),
    ],
)
def test_an_algorithm_without_a_key_that_fits_is_refused(
    app: Flask, carol: Visitor, typed: dict[str, Any], words: str
) -> None:
    before = stored(app)
    carol.open(PAGE)
    answer = carol.send(carol.form(PAGE).fill(**typed))
    assert answer.status_code == 400
    assert words in carol.text
    assert stored(app) == before


def test_with_a_key_endpoint_no_key_is_needed(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(algorithm="RS256", jwks_url="https://idp.example/jwks.json"))
    assert stored(app).provider.jwks_url == "https://idp.example/jwks.json"
    assert stored(app).keys == ()


def test_a_key_that_fits_the_new_algorithm_as_well_stays(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "keys": ["x" * 64]}})
    carol = administrator_of(app)
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(algorithm="HS512"))
    assert stored(app).provider.algorithm == "HS512"
    assert usable_keys(app) == ["x" * 64]


def test_keys_are_sealed_in_the_database(app: Flask, carol: Visitor) -> None:
    new = generate(carol)
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(ProviderKey.__table__.select()).all()
    assert len(rows) == 2
    assert not any(secret in str(row) for row in rows for secret in (KEY, new))
