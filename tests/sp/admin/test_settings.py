"""The settings pages of providers: who may see them, and that what is typed becomes what is kept."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from lab.cast import ALICE, CAROL, Person
from sp.admin.hints import FRONT, GROUPS, HINTS, PRESET_WORDS
from sp.admin.provider_form import ACCESS_TOKEN_WORDS, DELIVERY_WORDS, UNSOLICITED_WORDS, ProviderForm
from sp.providers.presets import PRESETS
from sp.providers.provider import Provider
from sp.providers.rows import load_one
from sp.providers.settings_parser import ACCESS_TOKEN_DELIVERIES, DELIVERIES, UNSOLICITED, parse_provider
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, PAGE, SECOND_KEY, administrator_of, stored, usable_keys
from tests.support.forms import Visitor, forms_of
from tests.support.gateway import core_of

ADDRESSES = (
    "/settings",
    "/settings/sso/jwt",
    "/settings/sso/jwt/new",
    "/settings/sso/jwt/new?preset=strict",
    "/settings/sso/jwt/changes",
    PAGE,
    f"{PAGE}/disable",
    f"{PAGE}/remove",
    f"{PAGE}/try",
    "/settings/users",
    "/settings/users/1",
    "/settings/activity",
    "/settings/activity/ABC",
)
POSTS = (
    PAGE,
    "/settings/sso/jwt/new",
    f"{PAGE}/enable",
    f"{PAGE}/disable",
    f"{PAGE}/remove",
    f"{PAGE}/keys",
    f"{PAGE}/keys/abc/retire",
    f"{PAGE}/keys/abc/sign",
    f"{PAGE}/sessions/end",
    f"{PAGE}/inspect",
    "/settings/users/1/disable",
    "/settings/users/1/enable",
    "/settings/users/1/sessions/end",
    "/settings/users/1/appoint",
    "/settings/users/1/dismiss",
)
SEED_NAMES = ("Encryption algorithm", "Return URL", "Security key", "Identity provider URL", "Logout URL")
KNOWN_AS = "INSERT INTO identity VALUES ('second', 'id-1', 'sub', 1, 0, '2026-01-01 00:00:00')"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def local_account(app: Flask, person: Person) -> None:
    """Give *person* an account with a local password that is not an administrator."""
    core_of(app).people.create_administrator(person.email, person.password)
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET is_admin = false WHERE email = :email"), {"email": person.email})


# Who may come in


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_stranger_is_sent_to_the_local_form(app: Flask, address: str) -> None:
    answer = app.test_client().get(address)
    assert answer.status_code == 303
    assert answer.location.startswith("/login?no_sso=&return_to=/settings")


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_person_who_is_no_administrator_is_refused(app: Flask, address: str) -> None:
    local_account(app, ALICE)
    answer = Visitor(app.test_client()).sign_in(ALICE).open(address)
    assert answer.status_code == 403
    assert "for administrators" in answer.text


@pytest.mark.parametrize("address", POSTS)
def test_nobody_but_an_administrator_changes_anything(app: Flask, address: str) -> None:
    local_account(app, ALICE)
    before = stored(app)
    assert app.test_client().post(address).status_code == 303
    assert Visitor(app.test_client()).sign_in(ALICE).client.post(address).status_code == 403
    assert stored(app) == before


@pytest.mark.parametrize("address", POSTS)
def test_a_form_that_another_site_has_sent_is_refused(app: Flask, carol: Visitor, address: str) -> None:
    before = stored(app)
    answer = carol.client.post(address, data={"confirmed": "corporate", "generate": "1"})
    assert answer.status_code == 400
    assert "expired" in answer.text
    assert stored(app) == before


def test_an_administrator_who_was_disabled_is_out_at_once(app: Flask, carol: Visitor) -> None:
    core_of(app).people.disable(1)
    assert carol.client.get("/settings/sso/jwt").status_code == 303


@pytest.mark.parametrize("address", ["/settings/sso/jwt/", "/settings/users/", "/settings/activity/"])
def test_a_slash_too_many_does_no_harm(carol: Visitor, address: str) -> None:
    assert carol.client.get(address).status_code == 200


def test_after_signing_in_the_administrator_lands_on_the_page_that_was_asked_for(app: Flask) -> None:
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    visitor = Visitor(app.test_client())
    visitor.open("/settings/sso/jwt")
    answer = visitor.send(visitor.form("/login").fill(email=CAROL.email, password=CAROL.password), follow=False)
    assert answer.location == "/settings/sso/jwt"


def test_the_navigation_offers_the_settings_to_administrators_only(app: Flask, carol: Visitor) -> None:
    local_account(app, ALICE)
    links = ("/settings", "/settings/sso/jwt", "/settings/users", "/settings/activity")
    assert all(f'href="{link}"' in carol.open("/account").text for link in links)
    alice = Visitor(app.test_client()).sign_in(ALICE)
    assert not any(link in alice.open("/account").text for link in links)


def test_everything_works_below_a_prefix(gateway: MakeGateway) -> None:
    app = gateway({"corporate": CORPORATE}, SP_PREFIX="/gate")
    core_of(app).people.create_administrator(CAROL.email, CAROL.password)
    visitor = Visitor(app.test_client())
    visitor.open("/gate/login?no_sso")
    visitor.send(visitor.form("/gate/login").fill(email=CAROL.email, password=CAROL.password), follow=False)
    page = visitor.open(f"/gate{PAGE}")
    assert page.status_code == 200
    assert "http://127.0.0.1:5000/gate/sso/login/jwt" in page.text
    visitor.send(visitor.form(f"/gate{PAGE}").fill(display_name="Behind a prefix"))
    assert stored(app).provider.display_name == "Behind a prefix"


# What the pages show


@pytest.mark.parametrize("address", ["/settings/sso/jwt", PAGE])
def test_the_pages_speak_the_seeds_words(carol: Visitor, address: str) -> None:
    carol.open(address)
    for name in SEED_NAMES:
        assert name in carol.text


def test_every_setting_is_on_the_page_under_its_own_name_and_explained(carol: Visitor) -> None:
    carol.open(PAGE)
    names = {field.name for field in fields(Provider)} - {"name"} | {"keys"}
    grouped = {name for _id, _title, group in GROUPS for name in group} | {*FRONT, "mapping"}
    assert names <= grouped
    assert names <= set(HINTS)
    sent = set(carol.form(PAGE).fields) | set(carol.form(PAGE).choices)
    for name in names - {"mapping", "issuer", "audience"}:
        assert name in sent, name
        assert f'<code class="setting-name">{name}</code>' in carol.page.text
    for name in ("issuer-expected", "issuer-match", "issuer-required", "audience-expected", "mapping-0-field"):
        assert name in sent, name


@pytest.mark.parametrize("address", ["/settings/sso/jwt/new?preset=strict", PAGE])
def test_no_two_parts_of_a_page_have_the_same_id(carol: Visitor, address: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', carol.open(address).text)
    assert sorted(ids) == sorted(set(ids))
    targets = re.findall(r'(?:\bfor="|href="#)([^"]+)"', carol.page.text)
    assert set(targets) <= set(ids)


def test_every_choice_of_a_setting_can_be_chosen() -> None:
    assert set(PRESET_WORDS) == set(PRESETS)
    assert set(UNSOLICITED_WORDS) == set(UNSOLICITED)
    assert set(DELIVERY_WORDS) == set(DELIVERIES)
    assert set(ACCESS_TOKEN_WORDS) == set(ACCESS_TOKEN_DELIVERIES)


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://127.0.0.1:5000/sso/login/jwt"),
        ({"default": False}, "http://127.0.0.1:5000/sso/login/jwt/corporate"),
        ({"preset": "zendesk"}, "http://127.0.0.1:5000/access/jwt"),
        ({"preset": "loginradius", "default": False}, "http://127.0.0.1:5000/access/jwt/corporate"),
    ],
)
def test_the_return_url_is_there_to_be_copied(gateway: MakeGateway, settings: dict[str, Any], address: str) -> None:
    app = gateway({"corporate": {**CORPORATE, **settings}})
    page = administrator_of(app).open(PAGE).text
    assert re.search(rf'<input[^>]*id="copied-return-url"[^>]*value="{re.escape(address)}"[^>]*readonly', page)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "Send the token to this URL: GET with ?jwt=<token> , or POST with the form field jwt"),
        ({"preset": "loginradius"}, "GET with ?jwttoken=<token>"),
        ({"preset": "zendesk"}, "Send the token to this URL: POST with the form field jwt"),
    ],
)
def test_the_note_says_what_the_return_url_implies(gateway: MakeGateway, settings: dict[str, Any], words: str) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, **settings}}))
    carol.open(PAGE)
    assert words in carol.text


@pytest.mark.parametrize("address", ["/settings/sso/jwt", PAGE, "/settings/sso/jwt/changes"])
def test_no_page_shows_a_key(app: Flask, carol: Visitor, address: str) -> None:
    form = (carol.open(PAGE), carol.form(PAGE))[1]
    carol.send(form.fill(keys=SECOND_KEY))
    assert SECOND_KEY in usable_keys(app)
    page = carol.open(address).text
    assert KEY not in page
    assert SECOND_KEY not in page
    assert all(key.sealed not in page for key in stored(app).keys)


# Creating


def begin_provider(carol: Visitor, preset: str = "ispring") -> Any:
    carol.open(f"/settings/sso/jwt/new?preset={preset}")
    return carol.form("/settings/sso/jwt/new").fill(name="Second", login_url="http://127.0.0.1:1/login-token/")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_provider_is_created_from_a_preset(app: Flask, carol: Visitor, preset: str) -> None:
    answer = carol.send(begin_provider(carol, preset))
    assert answer.status_code == 201
    expected = parse_provider("second", {"preset": preset, "login_url": "http://127.0.0.1:1/login-token/"})
    assert {**stored(app, "second").settings, "required_claims": None} == {
        **expected.as_settings(),
        "required_claims": None,
    }
    assert set(stored(app, "second").provider.required_claims) == set(expected.required_claims)


def test_the_presets_are_offered_with_what_they_do(carol: Visitor) -> None:
    carol.open("/settings/sso/jwt/new")
    for preset, (title, _words) in PRESET_WORDS.items():
        assert title in carol.text
        assert f"/settings/sso/jwt/new?preset={preset}" in carol.page.text


def test_a_generated_key_is_shown_once(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol))
    (key,) = usable_keys(app, "second")
    assert key in carol.page.text
    assert key not in carol.open("/settings/sso/jwt/provider/second").text


def test_a_key_that_was_typed_is_taken(app: Flask, carol: Visitor) -> None:
    answer = carol.send(begin_provider(carol).fill(keys=SECOND_KEY), follow=False)
    assert (answer.status_code, answer.location) == (303, "/settings/sso/jwt/provider/second")
    assert usable_keys(app, "second") == [SECOND_KEY]


def test_of_a_generated_pair_only_the_public_half_is_kept(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol).fill(algorithm="ES256"))
    assert "-----BEGIN PRIVATE KEY-----" in carol.page.text
    (kept,) = usable_keys(app, "second")
    assert kept.startswith("-----BEGIN PUBLIC KEY-----")


def test_a_private_key_is_not_taken(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol).fill(algorithm="ES256"))
    private = carol.page.text.split("readonly>")[1].split("</textarea>")[0]
    answer = carol.send(begin_provider(carol).fill(name="third", algorithm="ES256", keys=private))
    assert answer.status_code == 400
    assert "this is a private key" in carol.text
    assert private.splitlines()[1] not in carol.page.text


def test_every_mistake_is_named_beside_its_field_and_nothing_typed_is_lost(app: Flask, carol: Visitor) -> None:
    form = begin_provider(carol).fill(
        name="9 lives",
        display_name="Typed with care",
        login_url="gopher://hole",
        clock_skew="a while",
        token_parameter="not plain",
        issuer__expected="https://issuer.example",
        keys="much too short a secret",
    )
    answer = carol.send(form)
    assert answer.status_code == 400
    assert "There are 5 errors" in carol.text
    for name in ("name", "login_url", "clock_skew", "token_parameter", "keys"):
        assert f'id="{name}-errors"' in answer.text
        assert f'href="#{name}"' in answer.text
    again = carol.form("/settings/sso/jwt/new").fields
    for name in ("name", "display_name", "login_url", "clock_skew", "token_parameter", "issuer-expected"):
        assert again[name] == form.fields[name]
    assert "much too short a secret" not in answer.text
    assert [item.provider.name for item in core_of(app).provider_store.load()] == ["corporate"]


def test_a_name_that_is_taken_is_refused(app: Flask, carol: Visitor) -> None:
    before = stored(app)
    answer = carol.send(begin_provider(carol).fill(name="CORPORATE"))
    assert answer.status_code == 400
    assert "the provider corporate already exists" in carol.text
    assert stored(app) == before


def test_a_name_that_was_used_before_comes_with_a_warning(app: Flask, carol: Visitor) -> None:
    """Who is known by an id of the old provider would be signed in by that id of the new one."""
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text(KNOWN_AS))
    carol.send(begin_provider(carol))
    assert "One account has an ID of an earlier provider of this name" in carol.text


def test_a_provider_may_bear_the_name_of_a_page(app: Flask, carol: Visitor) -> None:
    for name in ("new", "changes", "provider", "trial"):
        carol.send(begin_provider(carol).fill(name=name))
        assert carol.open(f"/settings/sso/jwt/provider/{name}").status_code == 200


# Changing


def test_saving_what_is_there_changes_nothing(app: Flask, carol: Visitor) -> None:
    before = stored(app)
    carol.open(PAGE)
    carol.send(carol.form(PAGE))
    after = stored(app)
    assert after.provider.as_settings() | {"required_claims": 0} == before.provider.as_settings() | {
        "required_claims": 0
    }
    assert after.keys == before.keys
    assert "provider changed" not in [change[0] for change in changes(app)]


@pytest.mark.parametrize(
    ("typed", "setting", "value"),
    [
        ({"display_name": "Renamed"}, "display_name", "Renamed"),
        ({"enabled": None}, "enabled", False),
        ({"default": None}, "default", False),
        ({"show_on_login": None}, "show_on_login", False),
        ({"logout_url": ""}, "logout_url", ""),
        ({"return_url": "/home"}, "return_url", "/home"),
        ({"error_url": "/oops"}, "error_url", "/oops"),
        ({"token_parameter": "token"}, "token_parameter", "token"),
        ({"deliveries": ["form", "header"]}, "deliveries", ["form", "header"]),
        ({"clock_skew": " 60 "}, "clock_skew", 60),
        ({"expiry_adjustment": "-10"}, "expiry_adjustment", -10),
        ({"max_age": "120"}, "max_age", 120),
        ({"required_claims": ["iat", "sub", "nbf"]}, "required_claims", ["iat", "sub", "nbf", "jti", "email"]),
        ({"issuer__expected": "a"}, "issuer", {"expected": "a", "match": True, "required": False}),
        ({"audience__required": ["y"]}, "audience", {"expected": "", "match": True, "required": True}),
        ({"auto_create": None}, "auto_create", False),
        ({"auto_lookup": None}, "auto_lookup", False),
        ({"update_profile": None}, "update_profile", False),
        ({"update_email": ["y"]}, "update_email", True),
        ({"email_domains": "a.example, B.example"}, "email_domains", ["a.example", "b.example"]),
        ({"unsolicited": "refuse"}, "unsolicited", "refuse"),
        ({"require_nonce": ["y"]}, "require_nonce", True),
        ({"access_token_delivery": "fragment"}, "access_token_delivery", "fragment"),
        ({"allow_short_secret": ["y"]}, "allow_short_secret", True),
        ({"preset": "zendesk"}, "preset", "zendesk"),
    ],
)  # fmt: skip
def test_each_setting_is_saved_and_nothing_else_changes(
    app: Flask, carol: Visitor, typed: dict[str, Any], setting: str, value: Any
) -> None:
    before = stored(app).provider.as_settings()
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(**typed))
    after = stored(app).provider.as_settings()
    assert after[setting] == value
    unordered = ("required_claims", "mapping")
    assert {k: v for k, v in after.items() if k not in (setting, *unordered)} == {
        k: v for k, v in before.items() if k not in (setting, *unordered)
    }
    assert dict(parse_provider("x", after).mapping) == dict(parse_provider("x", before).mapping)


def test_a_change_holds_from_the_next_request_on(app: Flask, carol: Visitor) -> None:
    core_of(app).provider_registry._cache = 3600
    assert core_of(app).provider_registry.get("corporate").provider.max_age == 300
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(max_age="77"))
    assert core_of(app).provider_registry.get("corporate").provider.max_age == 77


def test_a_mistake_saves_nothing_of_the_rest(app: Flask, carol: Visitor) -> None:
    before = stored(app)
    carol.open(PAGE)
    answer = carol.send(carol.form(PAGE).fill(display_name="Good", clock_skew="-1", jwks_url="https://i.example/jwks"))
    assert answer.status_code == 400
    assert "There are 2 errors" in carol.text
    assert stored(app) == before


def test_settings_that_would_refuse_everybody_are_refused_all_at_once(app: Flask, carol: Visitor) -> None:
    before = stored(app)
    carol.open(PAGE)
    form = carol.form(PAGE).fill(
        email_domains="*.example.com fine.example not/a/domain",
        token_parameter="return_to",
        error_url="/sso/start/corporate",
        return_url="/sso/start",
    )
    form.fields["mapping-0-claim"] = "jti"
    assert form.fields["mapping-0-field"] == "id"
    answer = carol.send(form)
    assert answer.status_code == 400
    assert "There are 5 errors" in carol.text
    for words in (
        "'*.example.com' must be a domain without a wildcard",
        "'not/a/domain' is not a domain",
        "return_to is a reserved query parameter",
        "is a URL of the gateway itself",
        "would start the sign-in again",
        "'jti' describes the token",
    ):
        assert words in carol.text
    assert stored(app) == before


def test_a_default_provider_takes_that_from_the_one_before(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol).fill(default=["y"]))
    assert stored(app, "second").provider.default
    assert not stored(app).provider.default


# Field matching


def test_add_a_field_gives_an_empty_row_and_saves_nothing(app: Flask, carol: Visitor) -> None:
    before = stored(app)
    carol.open(PAGE)
    rows = sum(1 for name in carol.form(PAGE).fields if name.endswith("-field"))
    carol.send(carol.form(PAGE).fill(display_name="Not saved yet"), "add_field")
    again = carol.form(PAGE)
    assert sum(1 for name in again.fields if name.endswith("-field")) == rows + 1
    assert again.fields["display_name"] == "Not saved yet"
    assert stored(app) == before


def test_a_field_that_was_added_is_matched(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE), "add_field")
    carol.send(carol.form(PAGE), "add_field")
    form = carol.form(PAGE)
    rows = sorted((name for name in form.fields if name.endswith("-field")), key=lambda n: int(n.split("-")[1]))
    for row, (field, claim) in zip(rows[-2:], [("department", "org.unit"), ("login", "nick")], strict=True):
        form.fields[row], form.fields[row.replace("field", "claim")] = field, claim
    carol.send(form)
    mapping = dict(stored(app).provider.mapping)
    assert mapping["department"] == ("org.unit",)
    assert mapping["login"] == ("preferred_username", "sub", "nick")


def test_a_row_whose_claim_is_cleared_is_gone_for_good_even_if_the_preset_has_it(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    form = carol.form(PAGE)
    (row,) = (name for name, value in form.fields.items() if name.endswith("-field") and value == "groups")
    form.fields[row.replace("field", "claim")] = ""
    carol.send(form)
    assert "groups" not in dict(stored(app).provider.mapping)
    assert changes(app)[-1][3] == {"mapping.groups": ["groups", None]}
    carol.send((carol.open(PAGE), carol.form(PAGE))[1])
    assert "groups" not in dict(stored(app).provider.mapping)


@pytest.mark.parametrize(("field", "claim"), [("Id!", "x"), ("", "lonely"), ("id", "")])
def test_a_field_matching_that_makes_no_sense_is_refused(app: Flask, carol: Visitor, field: str, claim: str) -> None:
    before = stored(app)
    carol.open(PAGE)
    form = carol.form(PAGE)
    form.fields["mapping-0-field"], form.fields["mapping-0-claim"] = field, claim
    assert carol.send(form).status_code == 400
    assert "Field matching:" in carol.text
    assert stored(app) == before


# Two at once


def test_two_administrators_do_not_overwrite_one_another(app: Flask, carol: Visitor) -> None:
    core_of(app).people.create_administrator("dave@example.com", "another-keeper-9912")
    dave = Visitor(app.test_client())
    dave.sign_in(Person("dave@example.com", "another-keeper-9912", "Dave", "Doorman"))
    for visitor in (carol, dave):
        visitor.open(PAGE)
    dave.send(dave.form(PAGE).fill(max_age="222"))
    answer = carol.send(carol.form(PAGE).fill(clock_skew="11"))
    assert answer.status_code == 409
    assert "because this provider has changed" in carol.text
    assert "dave@example.com" in carol.text
    assert (stored(app).provider.max_age, stored(app).provider.clock_skew) == (222, 30)
    assert carol.form(PAGE).fields["clock_skew"] == "11"
    carol.send(carol.form(PAGE))
    assert (stored(app).provider.max_age, stored(app).provider.clock_skew) == (300, 11)


def test_a_form_without_a_version_is_not_saved(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    assert carol.send(carol.form(PAGE).fill(version="", max_age="222")).status_code == 409
    assert stored(app).provider.max_age == 300


# Enabling, disabling, removing


def test_a_provider_is_disabled_and_enabled(app: Flask, carol: Visitor) -> None:
    carol.open(f"{PAGE}/disable")
    carol.send(carol.form(f"{PAGE}/disable"))
    assert not stored(app).provider.enabled
    assert app.test_client().get("/sso/start/corporate").location.startswith("/access/jwt/error?code=provider_disabled")
    carol.send(carol.form(f"{PAGE}/enable"))
    assert stored(app).provider.enabled


def test_disabling_is_asked_for_twice_where_nobody_could_come_in_again(app: Flask, carol: Visitor) -> None:
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET password_hash = NULL"))
    token = (carol.open(PAGE), carol.form(f"{PAGE}/keys"))[1].fields["csrf_token"]
    answer = carol.client.post(f"{PAGE}/disable", data={"csrf_token": token})
    assert "No administrator has a local password" in answer.text
    assert stored(app).provider.enabled
    carol.page = answer
    carol.send(carol.form(f"{PAGE}/disable"))
    assert not stored(app).provider.enabled


def test_a_provider_is_removed_only_after_its_name_was_typed(app: Flask, carol: Visitor) -> None:
    carol.open(f"{PAGE}/remove")
    carol.send(carol.form(f"{PAGE}/remove").fill(confirmed="corprate"))
    assert "nothing was removed" in carol.text
    assert stored(app)
    carol.send(carol.form(f"{PAGE}/remove").fill(confirmed="corporate"))
    assert core_of(app).provider_store.load() == []
    assert carol.open(PAGE).status_code == 404


# A provider of the operator's file


@pytest.fixture
def managed(gateway: MakeGateway, tmp_path: Path) -> Flask:
    file = tmp_path / "gateway.toml"
    file.write_text(f"""
        [providers.corporate]
        default = true
        keys = ["{KEY}"]
        login_url = "http://127.0.0.1:1/login-token/"
        """)
    return gateway(SP_CONFIG=str(file))


def test_a_provider_of_the_file_is_shown_read_only_and_says_so(managed: Flask) -> None:
    carol = administrator_of(managed)
    carol.open(PAGE)
    assert "managed by the file that SP_CONFIG names" in carol.text
    (form,) = [form for form in forms_of(carol.page) if form.action == PAGE]
    assert set(form.fields) == {"csrf_token", "version"}
    assert 'value="http://127.0.0.1:1/login-token/"' in carol.page.text
    assert "managed by file" in (carol.open("/settings/sso/jwt"), carol.text)[1]


def test_a_provider_of_the_file_is_not_changed_by_forged_requests_either(managed: Flask) -> None:
    carol = administrator_of(managed)
    carol.open(PAGE)
    token, version = (carol.form(PAGE).fields[name] for name in ("csrf_token", "version"))
    before = stored(managed)
    fingerprint = before.keys[0].fingerprint
    settings = ProviderForm.of(before.provider)
    with managed.test_request_context():
        data = {"csrf_token": token, "version": version, "confirmed": "corporate", "generate": "1"}
    data |= {field.name: str(field.data) for field in settings if isinstance(field.data, str | int)}
    data |= {"version": version, "max_age": "1"}
    for address in (PAGE, f"{PAGE}/disable", f"{PAGE}/enable", f"{PAGE}/remove", f"{PAGE}/keys",
                    f"{PAGE}/keys/{fingerprint}/retire", f"{PAGE}/keys/{fingerprint}/sign"):  # fmt: skip
        assert carol.client.post(address, data=data).status_code in (200, 303, 400, 409), address
    assert stored(managed) == before


def test_no_provider_takes_the_default_from_the_file(managed: Flask) -> None:
    carol = administrator_of(managed)
    answer = carol.send(begin_provider(carol).fill(default=["y"]))
    assert answer.status_code == 400
    assert "corporate is the default, by the file SP_CONFIG" in carol.text


# Warnings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"login_url": "http://idp.example/login"}, "login_url uses http"),
        ({"login_url": ""}, "The Identity provider URL is missing"),
        ({"unsolicited": "accept"}, "Unsolicited sign-ins are accepted"),
        ({"keys": ["short"], "allow_short_secret": True}, "It is weak: the secret has 5 bytes"),
        ({"enabled": False}, "default provider is disabled"),
        ({"deliveries": ["query"]}, "Tokens arrive only in the URL"),
        ({"deliveries": ["header"]}, "Tokens are accepted in the Authorization header only"),
        ({"expiry_adjustment": -3600}, "exp is shortened by 3600 seconds"),
        ({"update_email": True}, "People are identified by their e-mail address"),
    ],
)
def test_what_is_risky_is_said(gateway: MakeGateway, settings: dict[str, Any], words: str) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, **settings}}))
    carol.open(PAGE)
    assert words in carol.text


def test_keys_that_cannot_be_opened_are_said_to_be_so_and_can_be_replaced(gateway: MakeGateway) -> None:
    gateway({"corporate": CORPORATE})
    app = gateway(SP_SECRET_KEY="another secret key of the operator, who has lost the first one")
    carol = administrator_of(app)
    carol.open(PAGE)
    assert "There is no usable key" in carol.text
    assert "encrypted with another secret key" in carol.text
    carol.send(carol.form(PAGE).fill(max_age="77"))
    assert stored(app).provider.max_age == 77
    form = carol.form(f"{PAGE}/keys").fill(material=SECOND_KEY)
    carol.send(form)
    assert (
        core_of(app).provider_registry.get("corporate").keys().keys[0].fingerprint == stored(app).keys[-1].fingerprint
    )
    for _page in ("the list", "the question"):
        carol.send(carol.form(f"{PAGE}/keys/{stored(app).keys[0].fingerprint}/retire"))
    assert usable_keys(app) == [SECOND_KEY]


def test_a_gateway_without_a_local_administrator_says_that_nobody_could_come_in(app: Flask, carol: Visitor) -> None:
    carol.open("/settings/sso/jwt")
    assert "No administrator has a local password" not in carol.text
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE account SET password_hash = NULL"))
    carol.open("/settings/sso/jwt")
    assert "No administrator has a local password" in carol.text


def test_several_providers_without_a_default_are_a_warning(gateway: MakeGateway) -> None:
    app = gateway(
        {"corporate": {**CORPORATE, "default": False}, "second": {**CORPORATE, "default": False, "keys": [SECOND_KEY]}}
    )
    carol = administrator_of(app)
    carol.open("/settings/sso/jwt")
    assert "none is the default" in carol.text


def test_settings_that_this_version_refuses_put_one_provider_out_of_use_and_no_page(app: Flask, carol: Visitor) -> None:
    core = core_of(app)
    core.provider_store.apply({"second": {**CORPORATE, "default": False}}, actor="test")
    with core.database.engine.begin() as connection:
        settings = dict(load_one(connection, "corporate").settings, clock_skew="a lot")  # type: ignore[union-attr]
        connection.execute(
            text("UPDATE provider SET settings = :settings WHERE name = 'corporate'"),
            {"settings": json.dumps(settings)},
        )
        connection.execute(text("UPDATE settings_revision SET revision = revision + 1"))
    assert core.provider_registry.get("second").provider.enabled
    assert "This provider is not in use" in (carol.open("/settings/sso/jwt"), carol.text)[1]
    assert "clock_skew: must be a whole number" in (carol.open(PAGE), carol.text)[1]


# The audit trail


def changes(app: Flask) -> list[tuple[str, str, str, Any]]:
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(text("SELECT action, actor, subject, detail FROM settings_change ORDER BY id"))
        return [(row[0], row[1], row[2], json.loads(row[3])) for row in rows]


def test_every_change_is_written_down_with_who_when_and_what(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(max_age="120", keys=SECOND_KEY))
    action, actor, subject, detail = changes(app)[-1]
    assert (action, actor, subject) == ("provider changed", CAROL.email, "corporate")
    assert detail.keys() == {"max_age", "keys"}
    assert detail["max_age"] == [300, 120]
    for address in (
        PAGE,
        "/settings/sso/jwt",
        "/settings/sso/jwt/changes",
        "/settings/sso/jwt/changes?subject=corporate",
    ):
        carol.open(address)
        assert "Provider changed: corporate max_age 300 120" in carol.text.replace("from ", "").replace("to ", "")
        assert CAROL.email in carol.text
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", carol.text)


def test_what_was_created_and_removed_is_written_down(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol).fill(keys=SECOND_KEY, max_age="120"))
    carol.open("/settings/sso/jwt/provider/second/remove")
    carol.send(carol.form("/settings/sso/jwt/provider/second/remove").fill(confirmed="second"))
    (_, _, _, made), (action, _, _, last) = changes(app)[-2:]
    assert action == "provider removed"
    assert made["max_age"] == [None, 120]
    assert last["max_age"] == [120, None]
    (fingerprint,) = made["keys"][1]
    assert last["keys"] == [[fingerprint], None]
    carol.open("/settings/sso/jwt/changes")
    assert fingerprint in carol.text
    assert SECOND_KEY not in json.dumps(changes(app)) + carol.text


def test_what_was_tried_and_refused_is_no_change(app: Flask, carol: Visitor) -> None:
    before = changes(app)
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(max_age="never"))
    assert changes(app) == before


def test_no_secret_comes_into_the_audit_trail(app: Flask, carol: Visitor) -> None:
    carol.send(begin_provider(carol).fill(keys=SECOND_KEY))
    carol.send((carol.open(PAGE), carol.form(f"{PAGE}/keys"))[1], "generate")
    everything = json.dumps(changes(app))
    for name in ("corporate", "second"):
        assert not any(key in everything for key in usable_keys(app, name))


def test_the_audit_trail_goes_back_page_by_page(app: Flask, carol: Visitor) -> None:
    for seconds in range(1, 61):
        core_of(app).provider_store.apply({"corporate": {**CORPORATE, "max_age": seconds}}, actor=f"round {seconds}")
    carol.open("/settings/sso/jwt/changes")
    assert "round 60" in carol.text
    assert "round 10 " not in carol.text
    older = re.search(r'href="([^"]+before=\d+)"', carol.page.text)
    assert older
    carol.open(older[1].replace("&amp;", "&"))
    assert "round 10 " in carol.text
    assert "round 60" not in carol.text


def test_what_people_type_is_shown_as_text_and_never_as_markup(app: Flask, carol: Visitor) -> None:
    markup = "<b>bold</b>"
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(display_name=markup))
    for address in (PAGE, "/settings/sso/jwt", "/settings/sso/jwt/changes"):
        carol.open(address)
        assert markup not in carol.page.text
        assert "bold" in carol.text
