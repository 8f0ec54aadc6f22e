"""The site's search runs where the site is a folder: a real browser, file://, and our replacement for a Worker."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.docs.documents import ROOT

PAGE = """<!doctype html><title>A page</title><body><button>Ask</button>
<script src="worker_from_file.js"></script><script>
const worker = new Worker("worker.js"), button = document.querySelector("button");
let answers = 0, within = 0;
worker.onmessage = (event) => { answers += 1; document.title = event.data.text; };
button.addEventListener("click", () => { answers = 0; worker.postMessage({ text: "asked" }); });
button.addEventListener("click", () => { within = answers; });
worker.postMessage({ text: "first" });
</script>"""
WORKER = """onmessage = async (event) => {
  if (!self.more) await importScripts("more.js");
  self.postMessage({ text: self.more(event.data.text) });
};"""

pytestmark = pytest.mark.browser


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tools" / "worker_from_file.js", tmp_path)
    for name, text in {
        "page.html": PAGE,
        "worker.js": WORKER,
        "more.js": 'self.more = (text) => text + " and answered";',
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_worker_in_a_folder_answers_and_never_within_the_event_that_asks(browser: Browser, folder: Path) -> None:
    page = browser.new_page()  # and not the fixture of that name, to which a folder is another host
    page.goto(folder.joinpath("page.html").as_uri())
    page.wait_for_function("document.title.startsWith('first and answered')")
    page.click("button")
    page.wait_for_function("document.title.startsWith('asked')")
    assert page.title() == "asked and answered"
    assert page.evaluate("within") == 0
    page.close()


def test_a_script_that_is_missing_is_an_error_of_the_worker(browser: Browser, folder: Path) -> None:
    (folder / "worker.js").unlink()
    page = browser.new_page()
    page.goto(folder.joinpath("page.html").as_uri())
    page.evaluate("new Promise((told) => { new Worker('worker.js').onerror = told; }).then(() => 1)")
    page.close()
