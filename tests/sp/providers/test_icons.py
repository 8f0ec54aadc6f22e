"""The icon of a provider: initials that everyone can read, a mark of our own, or an image."""

import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from shared.images import Logo
from shared.settings import SettingsRefused
from sp.config import read_document
from sp.providers.icon_images import MAX_IMAGE, icon_from, in_words, version_of
from sp.providers.icons import COLORS, MARKS, icon_of, initials_of
from sp.providers.provider import Provider
from sp.providers.setting_reader import MARKS_AND_INITIALS, ProviderRefused
from sp.providers.settings_parser import parse_provider
from sp.routes import Routes
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, PAGE, SECOND_KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import core_of


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
    assert ("", *MARKS) == MARKS_AND_INITIALS
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


PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize("content", [PNG, SVG, b"\xff\xd8\xff\xe0JFIF", b"RIFF\x00\x00\x00\x00WEBPVP8 "])
def test_an_image_can_be_the_icon(content: bytes) -> None:
    provider = parse_provider("x", {"icon": icon_from(content)})
    assert icon_of(provider).version
    assert f"image of {len(content)} bytes" in in_words(provider.icon)


@pytest.mark.parametrize(
    ("icon", "said"),
    [
        (icon_from(b"GIF89a"), "must be one of PNG"),
        (icon_from(b"<html><body>"), "must be one of PNG"),
        (icon_from(PNG + b"0" * MAX_IMAGE), "more than 16 KiB"),
        ("data:image/png;base64,%%%", "must be a data URL in base64"),
        ("data:image/png,abc", "must be one of PNG"),
        ("data:text/html;base64," + b64encode(PNG).decode(), "must be a data URL of the form data:image/png;base64"),
        (icon_from(PNG).replace("png;", "png;charset=x;"), "must be a data URL of the form"),
        ("logo.png", "must be one of building"),
        (7, "must be one of building"),
    ],
)
def test_attack_nothing_but_an_image_of_a_known_kind_is_stored(icon: Any, said: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        parse_provider("x", {"icon": icon})
    assert said in refused.value.mistakes["icon"]


def test_an_image_that_was_stored_broken_is_described_and_not_shown() -> None:
    assert in_words("data:image/png;base64,AAAA") == "an image that cannot be read"


@pytest.mark.parametrize("icon", ["logo.png", "file:logo.svg", "images/deep.png"])
def test_a_file_names_an_image_beside_it(tmp_path: Path, icon: str) -> None:
    (tmp_path / "images").mkdir()
    for name, content in (("logo.png", PNG), ("logo.svg", SVG), ("images/deep.png", PNG)):
        (tmp_path / name).write_bytes(content)
    file = tmp_path / "sp.toml"
    file.write_text(f'[providers.corporate]\nkeys = ["{SECOND_KEY}"]\nicon = "{icon}"\n')
    stored = read_document(file, Routes())["providers"]["corporate"]["icon"]
    assert stored == icon_from(SVG if icon.endswith("svg") else PNG)


@pytest.mark.parametrize(
    ("icon", "said"),
    [
        ("no-such-file.png", "is neither a mark (building, globe, key, people, school, shield) nor a file"),
        ("sp.toml", "the image must be one of PNG"),
        (".", "is neither a mark"),
        ("bad\\u0000name", "is neither a mark"),
    ],
)
def test_a_file_with_a_wrong_image_is_refused_with_its_place(tmp_path: Path, icon: str, said: str) -> None:
    file = tmp_path / "sp.toml"
    file.write_text(f'[providers.corporate]\nkeys = ["{SECOND_KEY}"]\nicon = "{icon}"\n')
    with pytest.raises(SettingsRefused) as refused:
        read_document(file, Routes())
    assert [mistake for mistake in refused.value.mistakes if f"{file}: providers.corporate.icon: {said}" in mistake]


def test_attack_a_secret_that_an_icon_names_by_mistake_is_shown_in_the_log(tmp_path: Path) -> None:
    file, secret = tmp_path / "sp.toml", "0123456789-a-secret-of-another-setting"
    (tmp_path / "key").write_text(secret)
    file.write_text(f'[providers.corporate]\nkeys = ["{SECOND_KEY}"]\nicon = "file:key"\n')
    with pytest.raises(SettingsRefused) as refused:
        read_document(file, Routes())
    assert "providers.corporate.icon" in str(refused.value)
    assert secret not in str(refused.value)


def upload(admin: Visitor, content: bytes) -> Visitor:
    """Choose an image file on the page of a provider, and save."""
    admin.open(PAGE)
    fields = {**admin.form(PAGE).fields, "icon_file": (BytesIO(content), "logo")}
    admin.page = admin.client.post(PAGE, data=fields, follow_redirects=True)
    return admin


def image_on_the_sign_in_page(app: Flask) -> str:
    found = re.search(r'<img class="provider-icon[^"]*" src="([^"]+)"', app.test_client().get("/login").text)
    assert found
    return found[1].replace("&amp;", "&")


def test_an_uploaded_image_is_shown_and_kept(gateway: MakeGateway) -> None:
    second = {**CORPORATE, "default": False, "keys": [SECOND_KEY], "display_name": "Second"}
    app = gateway({"corporate": CORPORATE, "second": second})
    admin = upload(administrator_of(app), SVG)
    assert admin.page.status_code == 200, admin.text
    assert "SVG image of" in admin.text  # the list of changes describes it
    image = image_on_the_sign_in_page(app)
    answer = app.test_client().get(image)
    assert (answer.data, answer.mimetype, answer.headers["X-Content-Type-Options"]) == (SVG, "image/svg+xml", "nosniff")
    assert "sandbox" in answer.headers["Content-Security-Policy"]  # its script never runs
    admin.send(admin.form(PAGE).fill(display_name="Renamed"))
    assert image_on_the_sign_in_page(app) == image
    admin.send(admin.form(PAGE).fill(icon="key"))
    assert "image" not in admin.form(PAGE).choices["icon"]
    assert MARKS["key"] in app.test_client().get("/login").text


def test_a_wrong_upload_is_named_beside_its_field(gateway: MakeGateway) -> None:
    admin = upload(administrator_of(gateway({"corporate": CORPORATE})), b"GIF89a")
    assert admin.page.status_code == 400
    assert "The image must be one of PNG, JPEG, WebP, SVG." in admin.text
    assert admin.form(PAGE).fields["icon_image"] == ""  # it is not sent back


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({}, 200),
        ({"enabled": False}, 404),
        ({"show_on_login": False}, 404),
        ({"show_on_login": False, "email_domains": ["example.com"]}, 200),
    ],
)
def test_attack_a_stranger_learns_of_a_provider_that_is_not_shown_by_its_icon(
    gateway: MakeGateway, settings: dict[str, Any], status: int
) -> None:
    app = gateway({"corporate": {**CORPORATE, "icon": icon_from(SVG), **settings}}, SP_SESSION_CACHE="60")
    stranger, admin = app.test_client(), administrator_of(app)
    image = f"/sso/icon/corporate?v={version_of(Logo(SVG, 'image/svg+xml'))}"
    assert stranger.get(image).status_code == status
    kept = admin.client.get(image)
    assert kept.status_code == 200
    assert ("no-store" in kept.headers["Cache-Control"]) == (status == 404)
    assert "no-store" in admin.client.get("/sso/icon/corporate?v=older").headers["Cache-Control"]


def test_attack_requests_for_icons_keep_the_database_busy(gateway: MakeGateway) -> None:
    app = gateway({"corporate": {**CORPORATE, "icon": icon_from(SVG)}}, SP_SESSION_CACHE="60")
    client, queries = app.test_client(), []
    assert client.get("/sso/icon/corporate").status_code == 200
    event.listen(core_of(app).database.engine, "before_cursor_execute", lambda *asked: queries.append(asked[2]))
    assert [client.get(f"/sso/icon/{name}").status_code for name in ("corporate", "none")] == [200, 404]
    assert queries == []


@pytest.mark.parametrize("name", ["corporate", "no-such-provider", "%00", "..%2f"])
def test_without_an_image_there_is_none(gateway: MakeGateway, name: str) -> None:
    assert gateway({"corporate": CORPORATE}).test_client().get(f"/sso/icon/{name}").status_code == 404
