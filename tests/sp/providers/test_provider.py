"""A provider is valid by construction: every setting is read, every error is named, and presets are defaults."""

import re
from typing import Any

import pytest

from sp.providers.provider import Provider
from sp.providers.risks import risks_of
from sp.providers.setting_reader import Expectation, ProviderRefused
from sp.providers.settings_parser import parse_name, parse_provider
from sp.routes import Routes

EXAMPLE: dict[str, Any] = {  # the example of docs/protocol.md, setting by setting
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
    """Return the errors in *settings*."""
    with pytest.raises(ProviderRefused) as refused:
        parse_provider("corporate", settings)
    return refused.value.mistakes


def test_the_example_of_the_protocol_is_read_as_it_stands() -> None:
    provider = parse_provider("corporate", EXAMPLE)
    settings = provider.as_settings()
    assert {name: settings[name] for name in EXAMPLE} == EXAMPLE
    assert settings.keys() - EXAMPLE.keys() == {"admin_group", "allow_short_secret", "icon"}


def test_what_is_left_out_has_the_defaults_of_the_protocol() -> None:
    settings = parse_provider("corporate", {}).as_settings()
    own = ("display_name", "default", "login_url", "logout_url", "mapping", "required_claims")
    assert {name: settings[name] for name in EXAMPLE if name not in own} == {
        name: value for name, value in EXAMPLE.items() if name not in own
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
    assert provider.unsolicited == "restart"  # an unsolicited token opens no session there either
    assert provider.strict


def test_half_of_an_expectation_keeps_the_presets_other_half() -> None:
    strict = parse_provider("bank", {"preset": "strict", "issuer": {"expected": "x"}})
    assert strict.issuer == Expectation("x", match=True, required=True)
    assert parse_provider("corporate", {"issuer": {"match": False}}).issuer == Expectation("", match=False)


def test_a_text_alone_is_the_expected_value_and_leaves_the_rest_to_the_preset() -> None:
    strict = parse_provider("bank", {"preset": "strict", "issuer": "x", "audience": " y "})
    assert strict.issuer == Expectation("x", match=True, required=True)
    assert strict.audience == Expectation("y", match=True, required=True)
    plain = parse_provider("corporate", {"issuer": "x", "audience": {"required": True}})
    assert plain.as_settings()["issuer"] == {"expected": "x", "match": True, "required": False}
    assert plain.as_settings()["audience"] == {"expected": "", "match": True, "required": True}


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


# --- Errors ---

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
    "token_parameter": (
        *("", "1a", "a b", "a&b", "a=b", "ä", 7, "a" * 61),
        *("return_to", "nonce", "code", "reference"),
    ),
    "deliveries": ([], ["cookie"], "form", ["form", 1], [""], None, {"form": True}),
    "clock_skew": (-1, 3601, "30", 1.5, True, None),
    "expiry_adjustment": (86400 * 366 + 1, -86400 * 366 - 1, "1"),
    "max_age": (0, -1, 86400 * 366 + 1, False),
    "required_claims": (
        *("iat", [], ["jti"], ["email"], [1], [" "], None),
        *(["iat", "has space"], ["iat", "a\tb"], ["iat", "a\0b"], ["iat", "a\u00a0b"], ["iat", "x" * 101]),
    ),
    "issuer": (7, {"expected": 7}, {"match": "yes"}, {"required": 1}, {"wanted": "x"}, ["x"], None),
    "audience": ({"expected": None}, {"expected": "x", "other": 1}),
    "auto_create": ("no",),
    "auto_lookup": (1,),
    "update_profile": (None,),
    "update_email": ("",),
    "email_domains": (
        *("example.com", [7], [""], None),
        *(["*.example.com"], ["not a domain/"], ["a@b.example"], ["example..com"], ["example.com."], [".example.com"]),
        *(["-a.example"], ["a-.example"], ["a_b.example"], ["https://example.com"], ["a.example,b.example"], ["@"]),
        *(["x" * 64 + ".example"], [".".join(["x" * 63] * 4)], ["a\u00a0b.example"]),
    ),
    "unsolicited": ("maybe", None, True),
    "require_nonce": (1,),
    "access_token_delivery": ("cookie", None),
    "allow_short_secret": ("yes",),
    "mapping": (
        *("sub", ["sub"], None, {"id": ""}, {"email": []}, {"id": 7}, {"id": ["a", 7]}),
        *({"Id": "a"}, {"a-b": "c"}, {"": "c"}, {"x": "a" * 101}, {"x": "has space"}, {"x": ["a", "b\nc"]}),
        *({"id": claim} for claim in ("jti", "iat", "exp", "nbf", "nonce", "iss", "aud", "sid", "auth_time", " jti ")),
        {"id": ["sub", "jti"]},
    ),
    "secret": ("x",),
    "name": ("other",),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_makes_no_sense_is_named(name: str, value: Any) -> None:
    assert set(mistakes(**{name: value})) == {name}


def test_every_setting_can_be_wrong() -> None:
    assert {*EXAMPLE, "allow_short_secret"} <= set(WRONG)


def test_every_mistake_is_named_at_once() -> None:
    wrong = {name: values[0] for name, values in WRONG.items()}
    assert set(mistakes(**wrong)) == set(wrong)
    with pytest.raises(ProviderRefused, match=r"max_age: must be a whole number of seconds, 1 to \d+"):
        parse_provider("corporate", wrong)


def test_every_mistake_within_one_setting_is_named() -> None:
    found = mistakes(
        email_domains=["*.example.com", "fine.example", "not a domain/"],
        required_claims=["iat", "has space", "so has this"],
        mapping={"id": "jti", "A": "b", "c": "d e"},
    )
    assert found["email_domains"] == (
        "'*.example.com' must be a domain without a wildcard; list each subdomain; "
        "'not a domain/' is not a domain: enter the part after the @ of an e-mail address"
    )
    assert found["required_claims"] == (
        "'has space', 'so has this': a claim name must have 1 to 100 characters and no white space"
    )
    assert found["mapping"].count(";") == 2
    assert "id must identify a person, but 'jti' describes the token" in found["mapping"]


def test_what_is_admitted_as_a_domain_and_as_a_claim() -> None:
    domains = ["@Example.com", "sub.example.com", "a-b.example", "xn--mller-kva.example", "müller.example", "intranet"]
    claims = ["iat", "https://example.com/claims/staff", "org.unit", "Kürzel", "custom:id", "a,b"]
    provider = parse_provider("corporate", {"email_domains": domains, "required_claims": claims})
    assert provider.email_domains == ("example.com", *domains[1:])
    assert provider.required_claims == (*claims, "jti")
    assert parse_provider("c", {"mapping": {"id": ["subject", "jti2"]}}).mapped_claims[0] == "subject"


OWN = Routes("", "https://gate.example")
PREFIXED = Routes("/gate", "https://gate.example")


@pytest.mark.parametrize(
    ("own", "address"),
    [
        (OWN, "/sso/start/loop2"),
        (OWN, "/sso/start?return_to=/x"),
        (OWN, "/%73so/start"),
        (OWN, "/%2573so/start"),
        (OWN, "/login"),
        (OWN, "/account#here"),
        (OWN, "/settings/sso/jwt/new"),
        (OWN, "/access/jwt"),
        (OWN, "/access/jwt/error/"),
        (OWN, "https://gate.example/sso/start"),
        (OWN, "HTTPS://GATE.example:443/sso/start"),
        (PREFIXED, "/gate/sso/start"),
        (PREFIXED, "/gate/anything"),
    ],
)
def test_attack_an_error_page_that_would_send_people_round_is_refused_when_it_is_saved(
    own: Routes, address: str
) -> None:
    with pytest.raises(ProviderRefused) as refused:
        parse_provider("corporate", {"error_url": address, "max_age": -1}, own)
    assert set(refused.value.mistakes) == {"error_url", "max_age"}
    assert "is a URL of the gateway itself" in refused.value.mistakes["error_url"]
    assert parse_provider("corporate", {"error_url": address}).error_url == address  # what is stored stays readable


@pytest.mark.parametrize(
    ("own", "address"),
    [
        (OWN, ""),
        (OWN, "/oops"),
        (OWN, "/access/jwt/error"),
        (OWN, "https://gate.example/access/jwt/error?lang=en"),
        (OWN, "/ssoup"),
        (OWN, "https://other.example/sso/start"),
        (PREFIXED, "/access/jwt/error"),
        (PREFIXED, "/gate/access/jwt/error"),
        (PREFIXED, "/sso/start"),
    ],
)
def test_an_error_page_of_the_application_or_elsewhere_is_taken(own: Routes, address: str) -> None:
    assert parse_provider("corporate", {"error_url": address}, own).error_url == address


@pytest.mark.parametrize(
    "address", ["/sso/start", "/sso/start/corporate?x=1", "/access/jwt", "https://gate.example/sso/start"]
)
def test_attack_a_page_after_sign_in_that_begins_the_next_one_is_refused_when_it_is_saved(address: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        parse_provider("corporate", {"return_url": address}, OWN)
    assert set(refused.value.mistakes) == {"return_url"}
    assert parse_provider("corporate", {"return_url": "/account"}, OWN).return_url == "/account"


def test_a_key_set_address_goes_with_asymmetric_algorithms_over_https() -> None:
    assert mistakes(jwks_url="https://idp.example.com/jwks") == {"jwks_url": "is only for RS and ES algorithms"}
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
        "required_claims": "must have iat or exp, or a token would never expire"
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
        ({"login_url": ""}, "The Identity provider URL is missing"),
        ({"allow_short_secret": True}, "shorter than its hash"),
        ({"unsolicited": "accept"}, "Unsolicited sign-ins are accepted"),
        ({"require_nonce": False}, "A nonce is not required"),
        ({"preset": "strict"}, "at least one is compared with nothing"),
        ({"preset": "strict", "issuer": {"expected": "x"}}, "at least one is compared with nothing"),
        ({"deliveries": ["query"]}, "only in the URL"),
        ({"deliveries": ["header"]}, "in the Authorization header only"),
        ({"expiry_adjustment": -300}, "shortened by 300 seconds"),
        ({"expiry_adjustment": -3600}, "at most 300 seconds old"),
        ({"update_email": True}, "identified by their e-mail address"),
        ({"update_email": True, "mapping": {"id": "mail", "email": ["email", "mail"]}}, "identified by their e-mail"),
    ],
)
def test_what_an_administrator_should_know_is_said(settings: dict[str, Any], warning: str) -> None:
    calm = {"login_url": "https://idp.example.com/", "require_nonce": True}
    assert risks_of(parse_provider("corporate", calm)) == []
    found = risks_of(parse_provider("corporate", calm | settings))
    assert [text for text in found if re.search(warning, text)], found


@pytest.mark.parametrize(
    "settings",
    [
        {"deliveries": ["header", "form"]},
        {"require_nonce": False, "required_claims": ["iat", "nonce"]},
        {"expiry_adjustment": -299},
        {"expiry_adjustment": 3600},
        {"update_email": True, "mapping": {"id": ["sub", "email"]}},
    ],
)
def test_what_is_no_risk_is_no_warning(settings: dict[str, Any]) -> None:
    calm = {"login_url": "https://idp.example.com/", "require_nonce": True}
    assert risks_of(parse_provider("corporate", calm | settings)) == []


def test_tokens_from_the_header_only_are_no_risk_where_no_browser_is_sent_away() -> None:
    (warning,) = risks_of(parse_provider("corporate", {"deliveries": ["header"]}))
    assert "The Identity provider URL is missing" in warning


def test_a_provider_on_this_machine_needs_no_https() -> None:
    here = {"login_url": "http://127.0.0.1:5001/login-token/", "require_nonce": True}
    assert risks_of(parse_provider("corporate", here)) == []


def test_a_provider_without_a_display_name_is_called_by_its_name() -> None:
    assert parse_provider("corporate", {}).title == "corporate"
    assert parse_provider("corporate", {"display_name": "Sign in"}).title == "Sign in"
    assert Provider("x").title == "x"
