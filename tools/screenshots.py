"""Take screenshots of the real programs for README.md: `python -m tools.screenshots`.

This starts a real gateway and a real identity provider, as the tests do. A real Chromium visits their pages and takes
the pictures.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from lab.browser import Chromium
from lab.cast import ALICE
from lab.journeys import expect_in, open_sign_in_form, type_password
from lab.pair import running_pair

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH, HEIGHT = 760, 620  # two pictures fit side by side


def main() -> None:
    """Write docs/images/form.png and docs/images/page.png."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = Chromium.find(playwright)
        if chromium is None:
            raise SystemExit("No Chromium was found; tools/system-packages installs it.")
        with running_pair(Path(folder) / "pair", people=[ALICE]) as pair:
            browser = chromium.launch(Path(folder), whole=True)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            open_sign_in_form(page, pair, "/reports?month=11")
            page.get_by_label("E-mail").fill(ALICE.email)
            take(page, "form")
            type_password(page, ALICE)
            expect_in(page, pair, ALICE, "/reports?month=11")
            take(page, "page")
            browser.close()


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
