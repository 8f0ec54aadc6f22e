"""Find and start a Chromium that is installed on this machine; nothing is downloaded."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from playwright.sync_api import Browser, BrowserContext, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
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
    """The Chromium of this machine, not started yet."""

    playwright: Playwright
    executable: str

    @classmethod
    def find(cls, playwright: Playwright) -> Self | None:
        """Return the Chromium or Chrome of this machine, or the one that Playwright installed, or None."""
        for name in NAMES:
            if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin"):
                return cls(playwright, found)
        bundled = playwright.chromium.executable_path
        return cls(playwright, bundled) if Path(bundled).exists() else None

    def launch(self, home: Path, *arguments: str) -> Browser:
        """Start it, headless, with *home* as its home folder. Without a writable home folder, Chromium crashes."""
        return self.playwright.chromium.launch(
            executable_path=self.executable, args=[*ARGUMENTS, *arguments], env=environment(home)
        )

    def launch_without_cookies_of(self, origin: str, home: Path) -> BrowserContext:
        """Start it with cookies blocked for *origin*, as a user can set it in Chromium."""
        blocked = {"cookies": {f"{origin},*": {"setting": 2}}}  # 2: block
        preferences = home / "profile" / "Default" / "Preferences"
        preferences.parent.mkdir(parents=True)
        preferences.write_text(json.dumps({"profile": {"content_settings": {"exceptions": blocked}}}))
        return self.playwright.chromium.launch_persistent_context(
            home / "profile", executable_path=self.executable, args=list(ARGUMENTS), env=environment(home)
        )


def environment(home: Path) -> dict[str, str | float | bool]:
    return {**os.environ, "HOME": str(home)}
