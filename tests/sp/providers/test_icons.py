"""The icon of a provider: initials that everyone can read, or a mark of our own."""

import re

import pytest

from sp.providers.icons import COLORS, MARKS, icon_of, initials_of
from sp.providers.provider import Provider
from sp.providers.setting_reader import ICONS, ProviderRefused
from sp.providers.settings_parser import parse_provider
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, SECOND_KEY, administrator_of


@pytest.mark.parametrize(
    ("title", "initials"),
    [
        ("Learning portal", "LP"),
        ("corporate", "C"),
        ("Université de Paris", "UD"),
        ("  école  ", "É"),
        ("(The) School of Rock", "TS"),
        ("3 schools", "3S"),
        ("学校", "学"),
        ("ßeta", "S"),
        ("-- !", "?"),
        ("<b>", "B"),
    ],
)
def test_the_initials_are_of_the_first_two_words(title: str, initials: str) -> None:
    assert initials_of(title) == initials


def test_every_mark_can_be_set_and_nothing_else() -> None:
    assert ("", *MARKS) == ICONS
    assert icon_of(parse_provider("x", {"icon": "key"})).mark == MARKS["key"]
    with pytest.raises(ProviderRefused):
        parse_provider("x", {"icon": "https://elsewhere.example/logo.svg"})


def test_a_provider_keeps_its_color() -> None:
    assert icon_of(Provider("corporate")).color == icon_of(Provider("corporate", display_name="Renamed")).color
    assert {icon_of(Provider(f"provider-{number}")).color for number in range(100)} == set(COLORS)


@pytest.mark.parametrize("color", COLORS)
def test_white_is_readable_on_each_color(color: str) -> None:
    """WCAG 2.2, 1.4.3 asks for 4.5 to 1."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) > 6


def test_the_icons_are_on_the_sign_in_page_and_in_the_settings(gateway: MakeGateway) -> None:
    second = {**CORPORATE, "default": False, "keys": [SECOND_KEY], "display_name": "", "icon": "school"}
    app = gateway({"corporate": {**CORPORATE, "display_name": "<i>Odd</i> & Co"}, "second": second})
    login = app.test_client().get("/login").text
    assert re.search(r"<svg[^>]*aria-hidden=\"true\".*>IC</text></svg>", login, re.DOTALL)
    assert MARKS["school"] in login
    assert "<i>" not in login
    settings = administrator_of(app).open("/settings/sso/jwt").text
    assert MARKS["school"] in settings
