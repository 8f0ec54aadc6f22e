"""What holds for every page that a person can see, in any size and for any reader.

The browser is watched as in every browser test: no request to another host, no Content-Security-Policy violation.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, ViewportSize, expect

from lab.cast import ALICE
from lab.journeys import sign_in
from lab.pair import Pair
from tests.support.tour import tour
from tests.support.watch import Watch

pytestmark = pytest.mark.browser

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
TELEPHONE: ViewportSize = {"width": 320, "height": 640}  # WCAG 2.2, 1.4.10: so narrow must a page still be readable
PAGES_OF_THE_TOUR = 30
# Only what is broken is sent from the browser: all that is right would be a megabyte a page.
RUN_AXE = """options => axe.run(document, options)
    .then(found => found.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)]))"""

Violations = dict[str, list[str]]  # the rules of axe-core that a page breaks, each with the elements


@dataclass(frozen=True)
class Sight:
    """What was seen of one page: headings of the first level, width on a telephone, and broken rules by look."""

    name: str
    title: str
    headings: int
    width: int
    text: str
    is_setting: bool
    violations: dict[str, Violations]


@dataclass(frozen=True)
class Walk:
    """Every page of the tour, and every answer on the way."""

    sights: list[Sight]
    answers: list[Response]


@pytest.fixture(scope="module")
def walk(browser: Browser, pair: Pair) -> Iterator[Walk]:
    context = browser.new_context(viewport=DESKTOP)
    watch, page = Watch(context), context.new_page()
    answers = record_answers(page)
    sights = [see(page, name) for name in tour(page, pair)]
    assert len(sights) >= PAGES_OF_THE_TOUR
    yield Walk(sights, answers)
    context.close()
    watch.assert_calm()


def test_every_page_fits_a_telephone_without_scrolling_sideways(walk: Walk) -> None:
    assert {sight.name: sight.width for sight in walk.sights if sight.width > TELEPHONE["width"]} == {}


def test_every_page_passes_the_rules_of_accessibility_in_every_size_light_and_dark(walk: Walk) -> None:
    """axe-core: labels, contrast, landmarks, headings, language, names of buttons and links."""
    assert {sight.name: sight.violations for sight in walk.sights if any(sight.violations.values())} == {}


def test_what_breaks_the_rules_of_accessibility_is_found(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.idp.url}/")
    page.evaluate("""() => {
        document.querySelector("main").insertAdjacentHTML("beforeend", "<img src='data:,'><p>grey</p>");
        document.querySelector("main p:last-child").style.color = "#888888";
    }""")
    found = see(page, "spoiled").violations
    assert {look: set(rules) for look, rules in found.items()} == {
        "narrow, dark": set(),
        "narrow, light": {"image-alt", "color-contrast"},
        "wide, dark": set(),
        "wide, light": {"image-alt", "color-contrast"},
    }


def test_no_page_shows_its_own_source(walk: Walk) -> None:
    """An element inside an attribute ends the tag, and the rest of it is read as text."""
    assert [sight.name for sight in walk.sights if '">' in sight.text or "</" in sight.text] == []


def test_no_end_user_reads_the_names_of_our_parts(walk: Walk) -> None:
    pages = {sight.name: sight.text.lower() for sight in walk.sights if not sight.is_setting}
    assert len(pages) >= PAGES_OF_THE_TOUR / 2
    for part in ("gateway", "identity provider", "service provider"):
        assert [name for name, text in pages.items() if part in text] == []


def test_every_page_names_itself_and_says_once_what_it_is_about(walk: Walk) -> None:
    for sight in walk.sights:
        own_part, _dot, _product = sight.title.partition(" · Lychgate")
        assert own_part.strip(), sight.name
        assert sight.headings == 1, sight.name


def test_every_page_works_with_a_keyboard_the_first_stop_leads_past_the_head(page: Page, pair: Pair) -> None:
    sign_in(page, pair, ALICE)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#content$"))


def test_every_page_forbids_to_keep_it_to_frame_it_and_to_tell_where_it_was(walk: Walk) -> None:
    pages = [answer for answer in walk.answers if answer.status not in (302, 303)]
    assert {mistake for answer in pages for mistake in mistakes_of(answer)} == set()
    assert len(pages) >= PAGES_OF_THE_TOUR


def test_no_answer_on_the_way_is_kept_and_none_tells_where_it_was(page: Page, pair: Pair) -> None:
    """Redirect URLs contain tokens."""
    answers = record_answers(page)
    sign_in(page, pair, ALICE, "/reports")
    on_the_way = [answer for answer in answers if answer.status in (302, 303) and "/sso/" in answer.url]
    assert len(on_the_way) >= 2
    assert [answer.url for answer in on_the_way if not (is_unkept(answer) and is_untold(answer))] == []


def see(page: Page, name: str) -> Sight:
    """Look at the open page wide and narrow, light and dark. Only its contrast can differ between light and dark."""
    violations = {}
    page.evaluate(Axe().axe_script)
    for size, viewport in (("narrow", TELEPHONE), ("wide", DESKTOP)):
        page.set_viewport_size(viewport)
        if viewport is TELEPHONE:
            width = page.evaluate("document.documentElement.scrollWidth")
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colours in transition
        violations[f"{size}, dark"] = broken_rules(page, {"runOnly": ["color-contrast"]})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        violations[f"{size}, light"] = broken_rules(page, {})
    headings = page.get_by_role("heading", level=1).count()
    text, is_setting = page.locator("body").inner_text(), "/settings/" in page.url
    return Sight(name, page.title(), headings, width, text, is_setting, violations)


def broken_rules(page: Page, options: dict[str, list[str]]) -> Violations:
    """Return what axe-core, which `see` has put into the page, finds."""
    return dict(page.evaluate(RUN_AXE, {"resultTypes": ["violations"], **options}))


def record_answers(page: Page) -> list[Response]:
    answers: list[Response] = []

    def note(answer: Response) -> None:
        if answer.request.is_navigation_request():
            answers.append(answer)

    page.on("response", note)
    return answers


def mistakes_of(answer: Response) -> Iterator[str]:
    policy = answer.headers.get("content-security-policy", "")
    rules = {
        "is kept": is_unkept(answer),
        "is told": is_untold(answer),
        "is sniffed": answer.headers.get("x-content-type-options") == "nosniff",
        "may be framed": "frame-ancestors 'none'" in policy and answer.headers.get("x-frame-options") == "DENY",
        "may run scripts": "default-src 'none'" in policy and scripts_of(policy) in ("", "script-src 'self'"),
        "may run what stands in it": bool(policy) and "unsafe" not in policy,
    }
    return (f"{answer.url} {mistake}" for mistake, is_right in rules.items() if not is_right)


def scripts_of(policy: str) -> str:
    """Return the directive for scripts; pages without any have none."""
    return next((part.strip() for part in policy.split(";") if part.strip().startswith("script-src")), "")


def is_unkept(answer: Response) -> bool:
    return "no-store" in answer.headers.get("cache-control", "")


def is_untold(answer: Response) -> bool:
    return answer.headers.get("referrer-policy") == "no-referrer"
