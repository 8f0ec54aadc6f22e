"""An operator's name, logo, colour and links: what is accepted, and what stops the start."""

from pathlib import Path

import pytest

from shared.branding import MAX_LOGO, OURS, read_branding
from shared.settings import Environment

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
SVG = b'<?xml version="1.0"?>\n<!-- ours -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'


def test_without_settings_everything_is_ours() -> None:
    assert read_branding(Environment({}), "SP_") == OURS


def test_every_setting_is_read() -> None:
    given = {
        "IDP_NAME": " Acme ",
        "IDP_COLOR": "#AA0033",
        "IDP_SUPPORT_URL": "mailto:help@acme.example?subject=Sign-in",
    }
    environment = Environment(given | {"IDP_PRIVACY_URL": "https://acme.example/privacy"})
    branding = read_branding(environment, "IDP_")
    assert environment.mistakes == []
    assert (branding.name, branding.colour) == ("Acme", "#aa0033")
    assert branding.support_url == "mailto:help@acme.example?subject=Sign-in"
    assert branding.privacy_url == "https://acme.example/privacy"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf<svg>", "image/svg+xml"),
    ],
)
def test_a_logo_is_known_by_its_content(tmp_path: Path, content: bytes, media_type: str) -> None:
    (tmp_path / "logo").write_bytes(content)
    logo = read_branding(Environment({"SP_LOGO": str(tmp_path / "logo")}), "SP_").logo
    assert logo is not None
    assert (logo.content, logo.media_type) == (content, media_type)


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("NAME", "n" * 61, "at most 60 characters"),
        ("NAME", "two\nlines", "without line breaks"),
        ("COLOR", "red", "of the form #rrggbb"),
        ("COLOR", "#12345", "of the form #rrggbb"),
        ("COLOR", "#123456;}", "of the form #rrggbb"),
        ("SUPPORT_URL", "javascript:alert(1)", "must begin with https://"),
        ("SUPPORT_URL", "data:text/html,x", "must begin with https://"),
        ("SUPPORT_URL", "//evil.example", "must begin with https://"),
        ("PRIVACY_URL", "mailto:nobody", "must begin with https://"),
        ("PRIVACY_URL", 'https://a.example/"x y', "must begin with https://"),
    ],
)
def test_a_value_that_is_not_valid_stops_the_start_and_says_why(setting: str, value: str, why: str) -> None:
    environment = Environment({f"SP_{setting}": value})
    assert read_branding(environment, "SP_") == OURS
    (mistake,) = environment.mistakes
    assert mistake.startswith(f"SP_{setting} ")
    assert why in mistake


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read from the file"),
        (b"<html><script>", "must be a PNG, SVG, WebP or JPEG file"),
        (b"GIF89a", "must be a PNG, SVG, WebP or JPEG file"),
        (PNG + b"\0" * MAX_LOGO, "has more than 256 KiB"),
    ],
)
def test_a_logo_that_cannot_be_served_stops_the_start(tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "logo").write_bytes(content)
    environment = Environment({"SP_LOGO": str(tmp_path / "logo")})
    assert read_branding(environment, "SP_").logo is None
    assert why in environment.mistakes[0]
