"""Find and start a Chromium that is installed on this machine; nothing is downloaded."""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser, BrowserContext, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The headless shell: the same engine without the rest of a browser. In the shell, a new context with two pages takes a
# quarter of the processor time.
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")
PATHS = "/usr/bin:/usr/local/bin"
ARGUMENTS = (
    "--no-sandbox",  # the tests may run as root, and Chromium's sandbox does not work for root; all pages are our own
    "--disable-gpu",
    # The browser must connect only to the programs under test:
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Chromium:
    """The Chromium of this machine, not started yet. `shell` is its headless shell, or None."""

    playwright: Playwright
    executable: str
    shell: str | None = None

    @classmethod
    def find(cls, playwright: Playwright) -> Self | None:
        """Return the Chromium or Chrome of this machine, or the one that Playwright installed, or None."""
        if found := _first(NAMES):
            return cls(playwright, found, _first(SHELLS))
        bundled = playwright.chromium.executable_path
        return cls(playwright, bundled) if Path(bundled).exists() else None

    def launch(self, home: Path, *arguments: str, whole: bool = False) -> Browser:
        """Start it, headless, with *home* as its home folder. Without a writable home folder, Chromium crashes.

        If there is a headless shell, start this shell instead, unless *whole* is true.
        """
        executable = self.executable if whole else self.shell or self.executable
        return self.playwright.chromium.launch(
            executable_path=executable, args=[*ARGUMENTS, *arguments], env=environment(home)
        )

    def launch_without_cookies_of(self, origin: str, home: Path) -> BrowserContext:
        """Start it with cookies blocked for *origin*, which is a setting of Chromium."""
        blocked = {"cookies": {f"{origin},*": {"setting": 2}}}  # 2: block
        preferences = home / "profile" / "Default" / "Preferences"
        preferences.parent.mkdir(parents=True)
        preferences.write_text(json.dumps({"profile": {"content_settings": {"exceptions": blocked}}}))
        return self.playwright.chromium.launch_persistent_context(
            home / "profile", executable_path=self.executable, args=list(ARGUMENTS), env=environment(home)
        )


def _first(names: Iterable[str]) -> str | None:
    """Return the path of the first of these programs that is installed, or None."""
    return next(
        filter(None, (shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATHS}") for name in names)), None
    )


def environment(home: Path) -> dict[str, str | float | bool]:
    return {**os.environ, "HOME": str(home)}
