"""Finding and starting the browser of the machine; none is downloaded."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # the tests may run as root, where Chromium refuses its sandbox; pages are our own
    "--disable-gpu",
    # Nothing but the pair is talked to:
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium(playwright: Playwright) -> str | None:
    """Return the path of the machine's Chromium or Chrome, or of one that Playwright installed."""
    for name in NAMES:
        if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin"):
            return found
    bundled = playwright.chromium.executable_path
    return bundled if Path(bundled).exists() else None


def launch(playwright: Playwright, executable: str, home: Path) -> Browser:
    """Start Chromium, headless, with *home* as its home folder; it crashes where it cannot write to one."""
    environment: dict[str, str | float | bool] = {**os.environ, "HOME": str(home)}
    return playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS), env=environment)
