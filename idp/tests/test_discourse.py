"""Discourse: we verify its request, and send the answer, which describes the person, only to the registered URL."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from flask import Flask
from shared.keys import load_key_set
from shared.settings import SettingsRefused

from idp.discourse import answer
from idp.services_file import parse_service
from idp.tests.support import ALICE, KEY, OTHER_KEY, Browser, register, words

RETURN_URL = "https://forum.example/session/sso_login"
NONCE = "cb68251eefb5211e58c00ff1395f0c0b"
FORUM = {"preset": "discourse", "display_name": "Forum", "return_url": RETURN_URL, "keys": [OTHER_KEY]}


@pytest.fixture
def forum(app: Flask) -> Browser:
    """A browser at a program that knows a forum."""
    register(app, forum=FORUM)
    return Browser(app)


QUESTION = {"nonce": NONCE, "return_sso_url": RETURN_URL}


def asked(members: dict[str, str] | None = None, key: str = OTHER_KEY, sso: str = "") -> str:
    """Return the query with which Discourse sends a browser to us, made as in Discourse's source."""
    members = QUESTION if members is None else members
    sso = sso or b64encode(urlencode(members).encode()).decode()
    sig = hmac.new(key.encode(), sso.encode(), "sha256").hexdigest()
    return f"&sso={quote(sso, safe='')}&sig={sig}"


def said(location: str) -> dict[str, str]:
    """Return the content of an answer, verified as Discourse verifies it."""
    query = dict(parse_qsl(urlsplit(location).query))
    assert hmac.new(OTHER_KEY.encode(), query["sso"].encode(), "sha256").hexdigest() == query["sig"]
    return dict(parse_qsl(b64decode(query["sso"]).decode()))


def test_the_answer_has_the_nonce_and_says_who_it_is(forum: Browser) -> None:
    answer = forum.sign_in(service="forum", query=asked())
    assert answer.status_code == 303
    assert answer.location.startswith(f"{RETURN_URL}?sso=")
    assert answer.headers["Cache-Control"] == "no-store"
    members = said(answer.location)
    assert set(members) == {"nonce", "external_id", "email", "name"}
    assert (members["nonce"], members["email"], members["name"]) == (NONCE, ALICE.email, "Alice Liddell")
    assert members["external_id"]


def test_a_person_who_is_signed_in_gets_the_answer_at_once(forum: Browser) -> None:
    first = said(forum.sign_in(service="forum", query=asked()).location)
    again = forum.get("/login-token/?service=forum" + asked({"nonce": "n-2", "return_sso_url": RETURN_URL}))
    assert said(again.location) == {**first, "nonce": "n-2"}


def test_groups_and_other_fields_are_mapped_like_claims(app: Flask) -> None:
    register(app, forum={**FORUM, "claims": {"groups": "groups", "custom.department": "department", "name": ""}})
    members = said(Browser(app).sign_in(service="forum", query=asked()).location)
    assert (members["groups"], members["custom.department"]) == ("staff", "Curiosity")
    assert "name" not in members


def test_attack_a_group_with_a_comma_in_its_name_is_not_two_groups() -> None:
    key = load_key_set([OTHER_KEY], "HS256").keys[0]
    members = said("?" + urlencode(answer({"groups": ["staff", "sales,admins"]}, NONCE, key)))
    assert members["groups"] == "staff"


def test_without_a_request_the_browser_is_sent_to_discourse_which_makes_one(forum: Browser) -> None:
    answer = forum.get("/login-token/?service=forum")
    assert (answer.status_code, answer.location) == (303, "https://forum.example/session/sso")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (asked(key=KEY), "signature"),
        (asked().partition("&sig=")[0], "signature"),
        (asked() + "0", "signature"),
        (asked({"nonce": NONCE, "return_sso_url": "https://mallory.example/"}), "another URL"),
        (asked({"nonce": NONCE}), "another URL"),
        (asked({"return_sso_url": RETURN_URL}), "nonce"),
        (asked({"nonce": "n" * 65, "return_sso_url": RETURN_URL}), "nonce"),
        (asked({"nonce": "n\n", "return_sso_url": RETURN_URL}), "nonce"),
        (asked(sso=b64encode(b"\xff").decode()), "base64"),
        (asked(sso="A"), "base64"),
        (asked(sso=b64encode(urlencode(QUESTION).encode()).decode().replace("=", "") + ".e30"), "not valid"),
        (asked(sso=b64encode(b"nonce=a&nonce=b").decode()), "twice"),
        (asked({"nonce": "n" * 5000}), "not valid"),
        ("&sso=%C3%A9&sig=a", "not valid"),
        ("&sso=YQ==&sig=%C3%A9", "not valid"),
    ],
)
def test_attack_a_request_that_discourse_did_not_make_is_answered_to_no_one(
    forum: Browser, query: str, why: str
) -> None:
    forum.sign_in()
    answer = forum.get(f"/login-token/?service=forum{query}")
    assert answer.status_code == 400
    assert why in words(answer)


def test_attack_an_answer_is_not_a_request(forum: Browser) -> None:
    """Requests and answers are signed with one secret, so a leaked answer must not make us sign another answer."""
    location = forum.sign_in(service="forum", query=asked()).location
    assert forum.get(f"/login-token/?service=forum&{urlsplit(location).query}").status_code == 400


def test_attack_parameters_beside_the_request_move_nothing(forum: Browser) -> None:
    query = "&return_sso_url=https://mallory.example/&return_url=https://mallory.example/&nonce=other&return_to=/x"
    location = forum.sign_in(service="forum", query=asked() + query).location
    assert location.startswith(f"{RETURN_URL}?sso=")
    assert set(parse_qs(urlsplit(location).query)) == {"sso", "sig"}
    assert said(location)["nonce"] == NONCE


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"algorithm": "RS256", "keys": []}, "algorithm must be HS256"),
        ({"delivery": "form"}, "delivery must be redirect"),
        ({"backchannel_logout_url": "https://forum.example/out"}, "backchannel_logout_url must be empty"),
        ({"claims": {"return_sso_url": "home"}}, "return_sso_url cannot be mapped"),
        ({"preset": "ispring", "signed_query": True}, "signed_query"),
        ({"signed_query": False}, "signed_query"),
        ({"keys": ["short"]}, "keys"),
    ],
)
def test_settings_that_discourse_does_not_know_are_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(SettingsRefused, match=why):
        parse_service("forum", {**FORUM, **changed})
