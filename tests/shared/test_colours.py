"""Text on a page can be read, whatever accent colour its operator chose."""

import re
from pathlib import Path

import pytest

from shared.colours import accents, contrast, stylesheet, text_on

LEAST = 4.5  # WCAG 2.2, 1.4.3
LEAST_OF_EDGES = 3  # 1.4.11
CSS = (Path(__file__).parents[2] / "shared/static/lychgate.css").read_text()
COLOURS = [
    f"#{red}{green}{blue}" for red in ("00", "7f", "ff") for green in ("00", "7f", "ff") for blue in ("00", "7f", "ff")
]
TEXT_ON = {
    "text": ("page", "surface", "raised", "field"),
    "quiet": ("page", "surface", "raised"),
    "accent-ink": ("page", "surface", "raised", "accent-soft"),
    "on-accent": ("accent", "accent-strong"),
    "good": ("page", "surface", "good-soft"),
    "bad": ("page", "surface", "bad-soft"),
    "on-bad": ("bad", "bad-strong"),
    "warn": ("surface", "warn-soft"),
    "info": ("surface", "info-soft"),
}


def variables() -> dict[str, tuple[str, str]]:
    """Return the colours of lychgate.css, light and dark."""
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\);", CSS)
    return {name: (long(light), long(dark)) for name, light, dark in found}


def long(colour: str) -> str:
    return colour if len(colour) == 7 else "#" + "".join(digit * 2 for digit in colour[1:])


@pytest.mark.parametrize("accent", [None, *COLOURS])
@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_every_background_with_every_accent(mode: int, accent: str | None) -> None:
    colours = variables() | (dict(accents(accent)) if accent else {})
    wrong = {
        f"{text} on {background}": ratio
        for text, backgrounds in TEXT_ON.items()
        for background in backgrounds
        if (ratio := round(contrast(colours[text][mode], colours[background][mode]), 2)) < LEAST
    }
    assert wrong == {}
    assert contrast(colours["accent"][mode], colours["surface"][mode]) >= LEAST_OF_EDGES
    assert contrast(colours["field-line"][mode], colours["field"][mode]) >= LEAST_OF_EDGES


def test_black_and_white_differ_by_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_text_on_yellow_is_black_and_on_navy_white() -> None:
    assert (text_on("#ffdd00"), text_on("#000080")) == ("#000000", "#ffffff")


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert accents("#1f5f8b")["accent"][0] == "#1f5f8b"


def test_the_stylesheet_replaces_exactly_the_accents() -> None:
    assert set(re.findall(r"--([a-z-]+):", stylesheet("#1f5f8b"))) == set(accents("#1f5f8b")) <= set(variables())


def test_browsers_without_light_dark_get_the_same_light_colours() -> None:
    plain = {name: long(colour) for name, colour in re.findall(r"--([a-z-]+): (#[0-9a-f]+);", CSS)}
    assert plain == {name: light for name, (light, _dark) in variables().items()}
