"""The form of a provider: it begins as the seeds' forms do, folds the rest, and loses nothing that was typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask

from lab.cast import Person
from lab.clock import Clock
from sp.admin.hints import GROUPS
from sp.providers.presets import PRESETS
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, PAGE, SECOND_KEY, administrator_of, stored, usable_keys
from tests.support.forms import Visitor
from tests.support.gateway import core_of

NEW = "/settings/sso/jwt/new"
MOST_OPEN = 12  # inputs that a person sees before anything is unfolded


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


@dataclass
class Shown:
    """What a person sees of the form: names of the inputs that are not folded, and the folded groups."""

    inputs: list[str] = field(default_factory=list)
    groups: dict[str, bool] = field(default_factory=dict)


class _Eye(HTMLParser):
    """Reads the form with the class settings-form as a browser shows it at first."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = Shown()
        self._in_form = False
        self._folds: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = dict(attrs)
        if tag == "form":
            self._in_form = a.get("class") == "settings-form"
        elif tag == "details" and self._in_form:
            self._folds.append("open" not in a)
            self.shown.groups[a.get("id") or ""] = "open" in a
        elif tag in ("input", "select", "textarea") and self._sees() and a.get("type") != "hidden":
            self.shown.inputs.append(a.get("name") or a.get("id") or "")

    def _sees(self) -> bool:
        return self._in_form and not any(self._folds)

    def handle_endtag(self, tag: str) -> None:
        if tag == "details" and self._folds:
            self._folds.pop()
        elif tag == "form":
            self._in_form = False


def shown(carol: Visitor) -> Shown:
    eye = _Eye()
    eye.feed(carol.page.text)
    return eye.shown


def is_open(carol: Visitor, group: str) -> bool:
    return shown(carol).groups[f"part-{group}"]


# What is open


@pytest.mark.parametrize("preset", PRESETS)
def test_a_new_provider_shows_at_most_twelve_inputs_and_every_group_folded(carol: Visitor, preset: str) -> None:
    carol.open(f"{NEW}?preset={preset}")
    assert len(shown(carol).inputs) <= MOST_OPEN
    assert list(shown(carol).groups) == [f"part-{id}" for id, _title, _names in GROUPS]
    assert not any(shown(carol).groups.values())
    assert re.search(r"0 of \d+ settings differ from the ", carol.text)


@pytest.mark.parametrize("address", [f"{NEW}?preset=ispring", PAGE])
def test_the_form_has_the_order_of_the_seeds(carol: Visitor, address: str) -> None:
    page = carol.open(address).text
    form = page[page.index('class="settings-form"') :]
    order = ("Enable JWT", "Encryption algorithm", ">Return URL<", "Security key", "Identity provider URL",
             "Logout URL", "Field matching", "+ Add a field", "Further settings")  # fmt: skip
    places = [form.index(words) for words in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("settings", "group", "words"),
    [
        ({"max_age": 77, "clock_skew": 5}, "token", "2 of 6 differ"),
        ({"issuer": "https://issuer.example"}, "token", "1 of 6 differs"),
        ({"required_claims": ["iat", "jti"]}, "token", "1 of 6 differs"),
        ({"deliveries": ["form"]}, "delivery", "1 of 6 differs"),
        ({"auto_create": False}, "accounts", "1 of 6 differs"),
        ({"return_url": "/home"}, "connection", "1 of 3 differs"),
    ],
)
def test_a_group_is_open_where_it_differs_from_the_preset_and_says_how_much(
    gateway: MakeGateway, settings: dict[str, Any], group: str, words: str
) -> None:
    plain = {"keys": [KEY], "login_url": CORPORATE["login_url"]}
    carol = administrator_of(gateway({"corporate": {**plain, **settings}}))
    carol.open(PAGE)
    assert [name for name, open in shown(carol).groups.items() if open] == [f"part-{group}"]
    assert words in carol.text


def test_the_same_claims_in_another_order_are_no_difference(gateway: MakeGateway) -> None:
    carol = administrator_of(gateway({"corporate": {**CORPORATE, "required_claims": ["email", "exp", "jti", "iat"]}}))
    carol.open(PAGE)
    assert not is_open(carol, "token")


def test_a_group_with_an_error_is_open(carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    carol.send(carol.form(NEW).fill(jwks_url="http://idp.example/jwks.json"))
    assert carol.page.status_code == 400
    assert is_open(carol, "connection")
    assert not is_open(carol, "token")


def test_the_hints_say_in_one_sentence_what_to_enter_or_what_a_switch_does(carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    assert "Let people sign in to this site with this provider." in carol.text
    assert "If you leave this empty, a key is made and shown on the next page." in carol.text
    carol.open(PAGE)
    assert "Leave this empty to keep the keys." in carol.text


# The Return URL before anything is saved


def test_the_return_url_is_shown_before_the_provider_is_saved(app: Flask, carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    before = re.search(r"<output[^>]*>([^<]+)</output>", carol.page.text)
    assert before
    assert before[1] == "http://127.0.0.1:5000/sso/login/jwt/company"
    carol.send(carol.form(NEW))
    assert stored(app, "company").provider.token_url(core_of(app).routes) == before[1]


def test_without_scripts_a_button_shows_the_return_url_of_another_name(carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=zendesk")
    carol.send(carol.form(NEW).fill(name="Desk"), "show_url")
    assert ">http://127.0.0.1:5000/access/jwt/desk</output>" in carol.page.text
    assert carol.form(NEW).fields["name"] == "Desk"


def test_the_default_provider_has_the_general_return_url(carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    carol.send(carol.form(NEW).fill(default=["y"]), "show_url")
    assert ">http://127.0.0.1:5000/sso/login/jwt</output>" in carol.page.text


def test_a_free_name_is_suggested(carol: Visitor) -> None:
    for name in ("company", "company-2", "company-3"):
        carol.open(f"{NEW}?preset=ispring")
        assert carol.form(NEW).fields["name"] == name
        assert "You can keep this name." in carol.text
        carol.send(carol.form(NEW))


# Nothing that was typed is lost


def test_add_a_field_keeps_the_key_that_was_typed_without_sending_it_back(app: Flask, carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    carol.send(carol.form(NEW).fill(keys=SECOND_KEY), "add_field")
    carol.send(carol.form(NEW), "add_field")
    assert SECOND_KEY not in carol.page.text
    assert "The key that you typed is kept" in carol.text
    carol.send(carol.form(NEW))
    assert usable_keys(app, "company") == [SECOND_KEY]


def test_an_error_elsewhere_keeps_the_key_that_was_typed(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(keys=SECOND_KEY, clock_skew="a while"))
    assert SECOND_KEY not in carol.page.text
    carol.send(carol.form(PAGE).fill(clock_skew="20"))
    assert usable_keys(app) == [KEY, SECOND_KEY]


def test_a_key_with_an_error_is_not_kept(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(PAGE).fill(keys="too short"))
    assert "The key that you typed is kept" not in carol.text
    carol.send(carol.form(PAGE))
    assert usable_keys(app) == [KEY]


def test_a_key_that_is_typed_again_takes_the_place_of_the_kept_one(app: Flask, carol: Visitor) -> None:
    carol.open(f"{NEW}?preset=ispring")
    carol.send(carol.form(NEW).fill(keys="the key with a mistake in it, of a good length"), "add_field")
    carol.send(carol.form(NEW).fill(keys=SECOND_KEY))
    assert usable_keys(app, "company") == [SECOND_KEY]


def test_attack_a_kept_key_is_used_by_another_administrator_for_another_provider_or_later(
    app: Flask, carol: Visitor, clock: Clock
) -> None:
    def kept(page: str) -> str:
        carol.open(page)
        carol.send(carol.form(page.partition("?")[0]).fill(keys=SECOND_KEY), "add_field")
        return str(carol.form(page.partition("?")[0]).fields["kept_key"])

    def is_taken(visitor: Visitor, kept_key: str) -> bool:
        visitor.open(PAGE)
        form = visitor.form(PAGE)
        form.fields["kept_key"] = kept_key
        visitor.send(form)
        return "enter the key again" not in visitor.text

    core_of(app).people.create_administrator("dave@example.com", "another-keeper-9912")
    dave = Visitor(app.test_client()).sign_in(Person("dave@example.com", "another-keeper-9912", "Dave", "Doorman"))
    for_new, for_corporate = kept(f"{NEW}?preset=ispring"), kept(PAGE)
    assert not is_taken(carol, for_new)
    assert not is_taken(dave, for_corporate)
    for seconds in (1800, 1801):  # her session ends if it is not used for an hour
        clock.tick(seconds=seconds)
        carol.open(PAGE)
    assert not is_taken(carol, for_corporate)
    assert usable_keys(app) == [KEY]
    clock.tick(seconds=-120)
    assert is_taken(carol, for_corporate)
    assert usable_keys(app) == [KEY, SECOND_KEY]


def test_attack_another_providers_encrypted_key_passes_for_one_that_was_typed(app: Flask, carol: Visitor) -> None:
    """Who has read the database, but not the secret key, must not give a new provider another one's key."""
    sealed = stored(app).keys[0].sealed
    for forged in (sealed, "nonsense"):
        carol.open(f"{NEW}?preset=ispring")
        form = carol.form(NEW)
        form.fields["kept_key"] = forged
        carol.send(form)
        assert "enter the key again" in carol.text
    assert [item.provider.name for item in core_of(app).provider_store.load()] == ["corporate"]


# Field matching


def test_a_row_lists_the_claims_of_a_field_in_order_of_preference(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    form = carol.form(PAGE)
    (row,) = (name for name, value in form.fields.items() if value == "login")
    claims = row.replace("field", "claim")
    assert form.fields[claims] == "preferred_username sub"
    form.fields[claims] = " nick,  preferred_username sub "
    carol.send(form)
    assert dict(stored(app).provider.mapping)["login"] == ("nick", "preferred_username", "sub")


def test_a_claim_whose_name_has_a_comma_stays_as_it_is(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "mapping": {"unit": "https://org.example/a,b", "desk": "odd,"}}})
    carol = administrator_of(app)
    before = stored(app).provider.mapping
    carol.open(PAGE)
    carol.send(carol.form(PAGE))
    assert stored(app).provider.mapping == before
