"""Derive the colours of a page from one accent colour, so that text in or on these colours can be read.

Contrast is computed as in WCAG 2.2 (relative luminance). Text needs a contrast of 4.5 or more (criterion 1.4.3), and
the edge of a button needs 3 or more (criterion 1.4.11). Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

COLOUR = re.compile(r"#[0-9A-Fa-f]{6}\Z")
BLACK, WHITE = "#000000", "#ffffff"
TEXT, EDGE = 4.6, 3.0  # least contrast; TEXT is slightly more than the 4.5 of WCAG, because colours are rounded
# The backgrounds in lychgate.css on which text in the accent colour has the least contrast: the darkest one of light
# mode, and the lightest one of dark mode.
LIGHT_BACKGROUND, DARK_BACKGROUND = "#eef2ef", "#222c28"
STEPS = 50  # number of steps between a colour and black or white

Pair = tuple[str, str]  # a colour in light mode, and its partner in dark mode


def accents(colour: str) -> Mapping[str, Pair]:
    """Return the variables of lychgate.css that depend on the accent *colour* (#rrggbb)."""
    button = towards(colour, BLACK, LIGHT_BACKGROUND, EDGE), towards(colour, WHITE, DARK_BACKGROUND, EDGE)
    strong = tuple(mix(shade, text_on(shade), 0.0 if shade in (BLACK, WHITE) else -0.18) for shade in button)
    soft = mix(colour, WHITE, 0.88), mix(colour, "#19211e", 0.8)
    ink = towards(colour, BLACK, soft[0], TEXT), towards(colour, WHITE, soft[1], TEXT)
    return {
        "accent": button,
        "accent-strong": (strong[0], strong[1]),
        "on-accent": (text_on(button[0]), text_on(button[1])),
        "accent-ink": (
            towards(ink[0], BLACK, LIGHT_BACKGROUND, TEXT),
            towards(ink[1], WHITE, DARK_BACKGROUND, TEXT),
        ),
        "accent-soft": soft,
    }


def stylesheet(colour: str) -> str:
    """Return a stylesheet that replaces our accent colour by *colour*."""
    pairs = accents(colour)
    plain = " ".join(f"--{name}: {light};" for name, (light, _dark) in pairs.items())
    both = " ".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in pairs.items())
    return f":root {{ {plain} }}\n@supports (color: light-dark(#000, #fff)) {{ :root {{ {both} }} }}\n"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours. It is 1 if they are equal, and 21 for black and white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(background: str) -> str:
    """Return black or white, the one with more contrast on *background*. One of the two always has 4.5 or more."""
    return max((WHITE, BLACK), key=lambda text: contrast(text, background))


def towards(colour: str, end: str, background: str, least: float) -> str:
    """Return *colour*, moved towards *end* (black or white) until its contrast with *background* is *least* or more."""
    shades = (mix(colour, end, step / STEPS) for step in range(STEPS + 1))
    return next((shade for shade in shades if contrast(shade, background) >= least), end)


def mix(colour: str, other: str, share: float) -> str:
    """Return *colour* mixed with a *share* (0 to 1) of *other*. A negative share moves *colour* away from *other*."""
    pairs = zip(_octets(colour), _octets(other), strict=True)
    return "#" + "".join(f"{min(255, max(0, round(a + (b - a) * share))):02x}" for a, b in pairs)


def _octets(colour: str) -> bytes:
    return bytes.fromhex(colour[1:])


def _luminance(colour: str) -> float:
    parts = (octet / 255 for octet in _octets(colour))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
