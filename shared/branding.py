"""Read the operator's name, logo and colour, and the links to help and privacy.

Each program has these five settings, whose names begin with its prefix. A page loads nothing from another host. So the
logo is a file, which the program reads once, when it starts, and serves itself. Reading this file is the only I/O of
this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from shared.colours import COLOUR
from shared.images import Logo, media_type
from shared.settings import Environment, is_web_url

PRODUCT = "Lychgate"
MAX_NAME = 60  # characters; a longer one does not fit beside the logo on a telephone
MAX_LOGO = 262_144  # bytes; every visitor loads it
MAILTO = re.compile(r"mailto:[!-~]+@[A-Za-z0-9.-]+(\?[!-~]*)?\Z")

MEANINGS = {
    "NAME": f"The name of your site on every page, in place of {PRODUCT}. At most {MAX_NAME} characters.",
    "LOGO": f"Path of a PNG, SVG, WebP or JPEG file, at most {MAX_LOGO // 1024} KiB. It is shown beside the name.",
    "COLOR": "Accent colour, as `#rrggbb`. Text on it is black or white, whichever can be read; links in it are "
    "darkened or lightened until they can be read.",
    "SUPPORT_URL": "Link to your help: `https:`, `http:` or `mailto:`. It is at the foot of every page.",
    "PRIVACY_URL": "Link to your privacy notice, likewise.",
}


@dataclass(frozen=True)
class Branding:
    """The operator's name, logo, colour and links. If the name, logo or colour is empty, pages show Lychgate's."""

    name: str = ""
    logo: Logo | None = None
    colour: str = ""
    support_url: str = ""
    privacy_url: str = ""


OURS = Branding()


def meanings(prefix: str) -> dict[str, str]:
    """Return the names of the settings, which begin with *prefix*, and the description of each."""
    return {prefix + name: meaning for name, meaning in MEANINGS.items()}


def read_branding(environment: Environment, prefix: str) -> Branding:
    """Return the branding of the program whose settings begin with *prefix*. Errors are recorded in *environment*."""
    return Branding(
        name=_name(environment, f"{prefix}NAME"),
        logo=_logo(environment, f"{prefix}LOGO"),
        colour=_colour(environment, f"{prefix}COLOR"),
        support_url=_link(environment, f"{prefix}SUPPORT_URL"),
        privacy_url=_link(environment, f"{prefix}PRIVACY_URL"),
    )


def _name(environment: Environment, setting: str) -> str:
    name = environment.text(setting)
    if len(name) > MAX_NAME or not name.isprintable():
        environment.mistake(setting, f"must be at most {MAX_NAME} characters, without line breaks")
        return ""
    return name


def _colour(environment: Environment, setting: str) -> str:
    colour = environment.text(setting)
    if colour and not COLOUR.match(colour):
        environment.mistake(setting, "must be a colour of the form #rrggbb, such as #1f5f8b")
        return ""
    return colour.lower()


def _link(environment: Environment, setting: str) -> str:
    url = environment.text(setting)
    if url and not is_web_url(url) and not MAILTO.match(url):
        environment.mistake(setting, "must begin with https://, http:// or mailto:, such as mailto:help@example.com")
        return ""
    return url


def _logo(environment: Environment, setting: str) -> Logo | None:
    path = environment.text(setting)
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_LOGO + 1)
    except OSError as error:
        environment.mistake(setting, f"cannot be read from the file {path}: {error.strerror}")
        return None
    found = media_type(content)
    if len(content) > MAX_LOGO:
        environment.mistake(setting, f"has more than {MAX_LOGO // 1024} KiB: make it smaller, every visitor loads it")
    elif found is None:
        environment.mistake(setting, f"must be a PNG, SVG, WebP or JPEG file: {path} is none of these")
    else:
        return Logo(content, found)
    return None
