"""Choose the icon of a provider: an image, a built-in mark, or the initials of its name.

The built-in marks are simple shapes that were drawn for Lychgate, not the logos of products. They are part of the
page's HTML, so the sign-in page needs no further request for them. An image needs a request to the gateway, and
browsers cache it.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from zlib import crc32

from sp.providers.icon_images import image_of, version_of
from sp.providers.provider import Provider

# SVG paths in a square of 32 by 32.
MARKS = {
    "building": "M8 26V8l8-3 8 3v18M5 26h22M13 12v1m6-1v1m-6 4v1m6-1v1m-5 8v-4h4v4",
    "globe": "M6 16a10 10 0 1 0 20 0a10 10 0 1 0-20 0zM6 16h20M16 6c-6 6-6 14 0 20M16 6c6 6 6 14 0 20",
    "key": "M6 16a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0zM15 16h11M22 16v4M26 16v3",
    "people": "M8 12a3 3 0 1 0 6 0a3 3 0 1 0-6 0zM18 12a3 3 0 1 0 6 0a3 3 0 1 0-6 0zM5 24c0-7 12-7 12 0M15 21"
    "c2-5 12-4 12 3",
    "school": "M4 13l12-6 12 6-12 6zM9 16v6c4 3 10 3 14 0v-6M28 13v8",
    "shield": "M16 5l9 3v7c0 6-4 10-9 12-5-2-9-6-9-12V8zM12 16l3 3 5-6",
}
COLORS = ("#2f5d50", "#7a4a12", "#3f4f8a", "#7b3f61", "#4a5a20", "#5a4a78")  # white text on each: contrast above 6 to 1
MOST_INITIALS = 2


@dataclass(frozen=True)
class Icon:
    """A square in `color` that shows the lines of `mark`, or `initials` if `mark` is empty.

    If the provider has an image, `version` is not empty, and changes when the image changes. The URL of the image
    contains `version`, because browsers cache the image.
    """

    color: str
    mark: str
    initials: str
    version: str = ""


def icon_of(provider: Provider) -> Icon:
    """Return the icon of *provider*. Its color depends only on its name, so it is the same in every process."""
    color = COLORS[crc32(provider.name.encode()) % len(COLORS)]
    image = image_of(provider.icon)
    version = version_of(image) if image else ""
    return Icon(color, MARKS.get(provider.icon, ""), initials_of(provider.title), version)


def initials_of(title: str) -> str:
    """Return the first letter or digit of each of the first two words that have one, or "?" if no word has one."""
    words = ("".join(filter(str.isalnum, word)) for word in unicodedata.normalize("NFC", title).split())
    return "".join(word[0].upper()[0] for word in words if word)[:MOST_INITIALS] or "?"
