"""A provider is right by construction: every setting is read, every mistake is named, and presets are defaults."""

import re
from typing import Any

import pytest

from sp.providers import Expectation, Provider, ProviderRefused, parse_name, parse_provider

CONTRACT: dict[str, Any] = {  # the example of the wire contract, setting by setting
    "preset": "ispring",
    "display_name": "Corporate sign-in",
    "enabled": True,
    "default": True,
    "show_on_login": True,
    "algorithm": "HS256",
    "jwks_url": "",
    "login_url": "http://127.0.0.1:5001/login-token/",
    "logout_url": "http://127.0.0.1:5001/logout",
    "return_url": "/",
    "error_url": "",
    "token_parameter": "jwt",
    "deliveries": ["query", "form"],
    "clock_skew": 30,
    "expiry_adjustment": 0,
    "max_age": 300,
    "required_claims": ["iat", "jti", "exp"],
    "issuer": {"expected": "", "match": True, "required": False},
    "audience": {"expected": "", "match": True, "required": False},
    "auto_create": True,
    "auto_lookup": True,
    "update_profile": True,
    "update_email": False,
    "email_domains": [],
    "unsolicited": "restart",
    "require_nonce": False,
    "access_token_delivery": "none",
    "mapping": {
        "id": ["sub", "email"],
        "email": "email",
        "family_name": "family_name",
        "given_name": "given_name",
        "login": ["preferred_username", "sub"],
        "groups": "groups",
        "department": "department",
    },
}


def mistakes(**settings: Any) -> dict[str, str]:
    """Return the mistakes in *settings*."""
    with pytest.raises(ProviderRefused) as refused:
        parse_provider("corporate", settings)
    return refused.value.mistakes


def test_the_example_of_the_contract_is_read_as_it_stands() -> None:
    provider = parse_provider("corporate", CONTRACT)
    settings = provider.as_settings()
    assert {name: settings[name] for name in CONTRACT} == CONTRACT
    assert settings.keys() - CONTRACT.keys() == {"allow_short_secret"}


def test_what_is_left_out_has_the_defaults_of_the_contract() -> None:
    settings = parse_provider("corporate", {}).as_settings()
    own = ("display_name", "default", "login_url", "logout_url", "mapping", "required_claims")
    assert {name: settings[name] for name in CONTRACT if name not in own} == {
        name: value for name, value in CONTRACT.items() if name not in own
    }
    assert settings["allow_short_secret"] is False


@pytest.mark.parametrize("preset", ["ispring", "zendesk", "loginradius", "strict"])
def test_settings_that_are_written_out_and_read_again_are_the_same(preset: str) -> None:
    given = {"preset": preset, "mapping": {"login": "", "badge": ["a.b", "c"]}, "email_domains": ["@Example.com"]}
    provider = parse_provider("corporate", given)
    assert parse_provider("corporate", provider.as_settings()) == provider
    assert dict(provider.mapping)["badge"] == ("a.b", "c")
    assert "login" not in dict(provider.mapping)
    assert provider.email_domains == ("example.com",)


# --- Presets ---


def test_ispring_identifies_by_email_and_wants_what_its_samples_send() -> None:
    provider = parse_provider("learn", {"preset": "ispring"})
    assert set(provider.required_claims) == {"iat", "jti", "exp", "email"}
    assert dict(provider.mapping)["id"] == ("email",)
    assert (provider.auto_create, provider.numeric_token_id, provider.strict) == (True, False, False)


def test_zendesk_wants_a_form_and_no_exp_for_three_minutes() -> None:
    provider = parse_provider("help", {"preset": "zendesk"})
    assert set(provider.required_claims) == {"iat", "jti", "email", "name"}
    assert (provider.max_age, provider.deliveries, provider.numeric_token_id) == (180, ("form",), True)
    assert dict(provider.mapping)["name"] == ("name",)


def test_loginradius_creates_nobody_and_delivers_an_access_token() -> None:
    provider = parse_provider("shop", {"preset": "loginradius"})
    assert (provider.token_parameter, provider.auto_create) == ("jwttoken", False)
    assert (provider.error_url, provider.access_token_delivery) == ("/access/jwt/error", "query")
    assert dict(provider.mapping)["id"][0] == "id"


def test_strict_requires_everything() -> None:
    provider = parse_provider("bank", {"preset": "strict"})
    assert set(provider.required_claims) == {"iss", "aud", "sub", "iat", "exp", "nbf", "jti", "nonce"}
    assert provider.issuer.required
    assert provider.audience.required
    assert provider.require_nonce
    assert provider.strict


def test_half_of_an_expectation_keeps_the_presets_other_half() -> None:
    strict = parse_provider("bank", {"preset": "strict", "issuer": {"expected": "x"}})
    assert strict.issuer == Expectation("x", match=True, required=True)
    assert parse_provider("corporate", {"issuer": {"match": False}}).issuer == Expectation("", match=False)


def test_a_setting_that_is_given_beats_the_preset() -> None:
    provider = parse_provider("help", {"preset": "zendesk", "deliveries": ["query"], "max_age": 60})
    assert (provider.deliveries, provider.max_age) == (("query",), 60)


def test_a_mapping_that_is_given_adds_to_the_presets() -> None:
    provider = parse_provider("corporate", {"mapping": {"id": "sub", "department": "dept", "groups": ""}})
    mapping = dict(provider.mapping)
    assert mapping["id"] == ("sub",)
    assert mapping["email"] == ("email",)
    assert mapping["department"] == ("dept",)
    assert "groups" not in mapping
    assert provider.mapped_claims.count("sub") == 1
    assert set(provider.mapped_claims) >= {"sub", "email", "dept", "given_name"}
    assert parse_provider("c", {"mapping": {"email": ["mail", "upn"]}}).mapped_email == ("email", "mail", "upn")


# --- Names ---


@pytest.mark.parametrize(
    ("text", "name"), [("corporate", "corporate"), (" Corp-1_x ", "corp-1_x"), ("A", "a"), ("a" * 60, "a" * 60)]
)
def test_a_name_is_lower_cased(text: str, name: str) -> None:
    assert parse_name(text) == name
    assert parse_provider(text, {}).name == name


@pytest.mark.parametrize("name", ["", " ", "1a", "-a", "_a", "a b", "a.b", "a/b", "ä", "a" * 61, "a\0", "..", "%61"])
def test_a_name_begins_with_a_letter_and_has_no_spaces(name: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        parse_provider(name, {})
    assert set(refused.value.mistakes) == {"name"}


# --- Mistakes ---

WRONG: dict[str, tuple[Any, ...]] = {
    "preset": ("auth0", "", None, 7, ["strict"]),
    "display_name": (7, None, "x" * 101, "a\nb", ["a"]),
    "enabled": ("true", 1, 0, None),
    "default": ("yes", 1),
    "show_on_login": ("on",),
    "algorithm": ("none", "hs256", "PS256", "", None, ["HS256"], {"a": 1}),
    "jwks_url": ("/jwks", "ftp://x/y", 7),
    "login_url": (
        "login",
        "/login",
        "javascript:alert(1)",
        "https://",
        "https://a b",
        "https://u@h/",
        "https://h/#f",
        "https://h\\x",
    ),
    "logout_url": ("//h", "http://h:99999/"),
    "return_url": ("x", "//evil", "/a//b", "/../a", "javascript:x", 7),
    "error_url": ("x", "//evil"),
    "token_parameter": ("", "1a", "a b", "a&b", "a=b", "ä", 7, "a" * 61),
    "deliveries": ([], ["cookie"], "form", ["form", 1], [""], None, {"form": True}),
    "clock_skew": (-1, 3601, "30", 1.5, True, None),
    "expiry_adjustment": (86400 * 366 + 1, -86400 * 366 - 1, "1"),
    "max_age": (0, -1, 86400 * 366 + 1, False),
    "required_claims": ("iat", [], ["jti"], ["email"], [1], [" "], None),
    "issuer": ("x", {"expected": 7}, {"match": "yes"}, {"required": 1}, {"wanted": "x"}, ["x"], None),
    "audience": ({"expected": None}, {"expected": "x", "other": 1}),
    "auto_create": ("no",),
    "auto_lookup": (1,),
    "update_profile": (None,),
    "update_email": ("",),
    "email_domains": ("example.com", [7], [""], None),
    "unsolicited": ("maybe", None, True),
    "require_nonce": (1,),
    "access_token_delivery": ("cookie", None),
    "allow_short_secret": ("yes",),
    "mapping": (
        *("sub", ["sub"], None, {"id": ""}, {"email": []}, {"id": 7}, {"id": ["a", 7]}),
        *({"Id": "a"}, {"a-b": "c"}, {"": "c"}, {"x": "a" * 101}),
    ),
    "secret": ("x",),
    "name": ("other",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_makes_no_sense_is_named(name: str, value: Any) -> None:
    assert set(mistakes(**{name: value})) == {name}


def test_every_setting_can_be_wrong() -> None:
    assert {*CONTRACT, "allow_short_secret"} <= set(WRONG)


def test_every_mistake_is_named_at_once() -> None:
    wrong = {name: values[0] for name, values in WRONG.items()}
    assert set(mistakes(**wrong)) == set(wrong)
    with pytest.raises(ProviderRefused, match=r"max_age: must be a whole number of seconds, 1 to \d+"):
        parse_provider("corporate", wrong)


def test_a_key_set_address_goes_with_asymmetric_algorithms_over_https() -> None:
    assert mistakes(jwks_url="https://idp.example.com/jwks") == {"jwks_url": "goes with RS and ES algorithms only"}
    assert mistakes(algorithm="RS256", jwks_url="http://idp.example.com/jwks") == {
        "jwks_url": "must be https, except on this machine"
    }
    for address in (
        "https://idp.example.com/jwks",
        "http://127.0.0.1:5001/jwks",
        "http://localhost/jwks",
        "http://[::1]/",
    ):
        assert parse_provider("corporate", {"algorithm": "ES256", "jwks_url": address}).jwks_url == address


def test_a_token_that_would_be_good_for_ever_cannot_be_configured() -> None:
    assert mistakes(required_claims=["jti", "email"]) == {
        "required_claims": "must have iat or exp, or a token would be good for ever"
    }
    for enough in ("iat", "exp"):
        assert set(parse_provider("corporate", {"required_claims": [enough]}).required_claims) == {enough, "jti"}


def test_a_mapping_without_id_or_email_cannot_be_configured() -> None:
    assert mistakes(mapping={"email": ""}) == {"mapping": "id and email are required"}


# --- Warnings ---


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"login_url": "http://idp.example.com/"}, "login_url uses http"),
        ({"return_url": "http://sp.example.com/"}, "return_url uses http"),
        ({"login_url": ""}, "There is no login URL"),
        ({"allow_short_secret": True}, "shorter than its hash"),
        ({"unsolicited": "accept"}, "nobody asked for"),
        ({"preset": "strict"}, "no expected value is set"),
        ({"preset": "strict", "issuer": {"expected": "x"}}, "no expected value is set"),
        ({"deliveries": ["query"]}, "in the address only"),
    ],
)
def test_what_an_administrator_should_know_is_said(settings: dict[str, Any], warning: str) -> None:
    calm = {"login_url": "https://idp.example.com/"}
    assert parse_provider("corporate", calm).warnings == []
    found = parse_provider("corporate", calm | settings).warnings
    assert [text for text in found if re.search(warning, text)], found


def test_a_provider_on_this_machine_needs_no_https() -> None:
    assert parse_provider("corporate", {"login_url": "http://127.0.0.1:5001/login-token/"}).warnings == []


def test_a_provider_without_a_display_name_is_called_by_its_name() -> None:
    assert parse_provider("corporate", {}).title == "corporate"
    assert parse_provider("corporate", {"display_name": "Sign in"}).title == "Sign in"
    assert Provider("x").title == "x"
