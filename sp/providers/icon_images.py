"""Store the image of a provider's icon in its settings, as a data URL (RFC 2397).

The image is stored with the other settings, so every node has it. An image must be small, and its first bytes must show
that it is one of the accepted types.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import sha256

from shared.images import Logo, media_type

MAX_IMAGE = 16 * 1024  # bytes
BEGINNING = "data:"
_BASE64 = ";base64,"
KINDS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP", "image/svg+xml": "SVG"}


class IconRefused(ValueError):
    """The image cannot be an icon. The message gives the reason."""


def icon_from(content: bytes) -> str:
    """Return the setting `icon` for an image file with this *content*.

    The image is not checked here. `image_of` rejects it if it cannot be an icon.
    """
    return _data_url(Logo(content, media_type(content) or "application/octet-stream"))


def image_of(icon: str) -> Logo | None:
    """Return the image in the setting *icon*, or None if *icon* is not a data URL.

    Without a data URL, *icon* should be empty or the name of a built-in mark, but this is not checked here.

    Raises IconRefused.
    """
    if not icon.startswith(BEGINNING):
        return None
    _media_type, found, encoded = icon.partition(_BASE64)
    try:
        image = _checked(b64decode(encoded if found else "", validate=True))
    except binascii.Error as error:
        raise IconRefused("must be a data URL in base64") from error
    if _data_url(image) != icon:
        raise IconRefused(f"must be a data URL of the form {BEGINNING}{image.media_type}{_BASE64}…")
    return image


def version_of(image: Logo) -> str:
    """Return a text that changes with the image."""
    return sha256(image.content).hexdigest()[:12]


def in_words(icon: str) -> str:
    """Return the setting *icon* as a text for people. If it is an image, describe it."""
    if not icon.startswith(BEGINNING):
        return icon
    try:
        image = image_of(icon)
    except IconRefused:
        image = None
    if image is None:
        return "an image that cannot be read"
    return f"{KINDS[image.media_type]} image of {len(image.content)} bytes ({version_of(image)})"


def _checked(content: bytes) -> Logo:
    if len(content) > MAX_IMAGE:
        raise IconRefused(f"the image has more than {MAX_IMAGE // 1024} KiB: make it smaller")
    if (kind := media_type(content)) is None:
        raise IconRefused(f"the image must be one of {', '.join(KINDS.values())}")
    return Logo(content, kind)


def _data_url(image: Logo) -> str:
    return f"{BEGINNING}{image.media_type}{_BASE64}{b64encode(image.content).decode()}"
