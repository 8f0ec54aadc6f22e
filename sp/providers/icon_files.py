"""Read the image files that a settings file names as icons of providers, such as `icon = "logo.png"`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp.providers.icon_images import BEGINNING, MAX_IMAGE, IconRefused, icon_from, image_of
from sp.providers.setting_reader import MARKS_AND_INITIALS


def with_images(document: Mapping[str, Any], folder: Path, mistakes: list[str]) -> dict[str, Any]:
    """Return *document* with images in place of file names. Paths are relative to *folder*.

    If a text begins with `<`, it is not a file name but an SVG image. For example, the setting `file:logo.svg` gives
    the content of that file. Each error is added to *mistakes*.
    """
    tables = document.get("providers")
    if not isinstance(tables, Mapping):
        return dict(document)
    providers = {}
    for name, settings in tables.items():
        icon = settings.get("icon") if isinstance(settings, Mapping) else None
        if isinstance(icon, str) and icon not in MARKS_AND_INITIALS and not icon.startswith(BEGINNING):
            try:
                settings = {**settings, "icon": icon_from(_content(icon, folder))}
                image_of(settings["icon"])
            except IconRefused as refusal:
                mistakes.append(f"providers.{name}.icon: {refusal}")
                settings = {**settings, "icon": ""}
        providers[name] = settings
    return {**document, "providers": providers}


def _content(icon: str, folder: Path) -> bytes:
    if icon.lstrip().startswith("<"):
        return icon.encode()
    try:
        with (folder / icon).open("rb") as file:
            return file.read(MAX_IMAGE + 1)
    except (OSError, ValueError) as error:
        marks = ", ".join(filter(None, MARKS_AND_INITIALS))
        # Do not quote the text: it may be the content of a file or variable that `file:` or `env:` named by mistake.
        raise IconRefused(f"is neither a mark ({marks}) nor a file that can be read") from error
