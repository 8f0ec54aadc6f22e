"""The services file: what is accepted, and all errors reported at once."""

from __future__ import annotations

from typing import Any

import pytest
from shared.keys import generate_key, public_pem
from shared.settings import SettingsRefused

from idp.services_file import parse_services
from idp.tests.support import GATE


def mistakes(table: dict[str, Any], name: str = "gate") -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        parse_services({"services": {name: table}}, "services.toml")
    return refused.value.mistakes


def test_a_preset_fills_in_what_is_not_said() -> None:
    service = parse_services({"services": {"gate": GATE}}, "")["gate"].service
    assert service.lifetime == 60
    assert service.claims["sub"] == "id"
    assert service.title == "The gate"


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes({**GATE, "delivery": "pigeon", "lifetime": 0, "algorithm": "none", "return_url": "gate.example"})
    assert len(told) == 4
    assert all(mistake.startswith("services.toml: services.gate.") for mistake in told)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"preset": "unheard-of"}, "preset"),
        ({"return_url": ""}, "return_url"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"return_url": "https://gate.example/#fragment"}, "return_url"),
        ({"return_url": "https://alice@gate.example/"}, "return_url"),
        ({"backchannel_logout_url": "/relative"}, "backchannel_logout_url"),
        ({"lifetime": 601}, "lifetime"),
        ({"lifetime": True}, "lifetime"),
        ({"lifetime": "60"}, "lifetime"),
        ({"groups": "staff"}, "groups"),
        ({"groups": [1]}, "groups"),
        ({"claims": ["email"]}, "claims"),
        ({"claims": {"exp": "email"}}, "claims.exp"),
        ({"claims": {"events": "email"}}, "claims.events"),
        ({"keys": ["short"]}, "32"),
        ({"keys": [GATE["keys"][0], GATE["keys"][0]]}, "twice"),
        ({"keys": "text"}, "keys"),
        ({"retrun_url": "x"}, "retrun_url is unknown"),
        ({"leads_on_to": ["https://help.example/path"]}, "leads_on_to"),
        ({"leads_on_to": ["help.example"]}, "leads_on_to"),
        ({"leads_on_to": ["https://help.example 'unsafe-inline'"]}, "leads_on_to"),
        ({"preset": "freshworks", "algorithm": "HS256"}, "RS256"),
        ({"preset": "zendesk", "algorithm": "RS256", "keys": []}, "HS256"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], word: str) -> None:
    assert any(word in mistake for mistake in mistakes({**GATE, **change}))


def test_a_public_key_cannot_sign() -> None:
    public = public_pem(generate_key("ES256"))
    assert "private key" in mistakes({**GATE, "algorithm": "ES256", "keys": [public]})[0]


def test_no_mistake_shows_a_key() -> None:
    told = " ".join(mistakes({**GATE, "keys": ["a-secret-of-31-characters-000000"[:31]]}))
    assert "a-secret" not in told


@pytest.mark.parametrize("name", ["Gate", "1gate", "ga te", "", "g" * 61, "gate\n", "ворота"])
def test_a_name_is_lower_case_letters_digits_and_dashes(name: str) -> None:
    assert mistakes(GATE, name)


def test_a_short_secret_needs_an_explicit_setting() -> None:
    found = parse_services({"services": {"gate": {**GATE, "keys": ["short"], "allow_short_secret": True}}}, "")
    assert found["gate"].key_materials == ("short",)


def test_unknown_tables_are_mistakes() -> None:
    with pytest.raises(SettingsRefused, match="providers"):
        parse_services({"providers": {}}, "services.toml")
