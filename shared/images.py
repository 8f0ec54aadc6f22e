"""Tell which kind of image a file is, by its first bytes.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

BEGINNING = 4096  # bytes at the start of an SVG, searched for its root element


@dataclass(frozen=True)
class Logo:
    """An image: its bytes and its media type."""

    content: bytes
    media_type: str


def media_type(content: bytes) -> str | None:
    """Return the media type of an image by its first bytes, or None if we do not serve this kind."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    beginning = content[:BEGINNING].removeprefix(b"\xef\xbb\xbf").lstrip()
    return "image/svg+xml" if beginning.startswith(b"<") and b"<svg" in beginning else None
