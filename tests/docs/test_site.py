"""The site that `make docs` builds: every document is in it, and it loads no file from another host.

Zensical is not among the requirements of the tests; `make docs` runs it in strict mode, which finds
broken links.
"""

import re
from pathlib import Path

import pytest

from shared.errors import REJECTIONS
from sp.routes import Routes
from tests.docs.documents import DOCUMENTS, ROOT, name_of, text_of
from tools import docs_site

PICTURE = ROOT / "docs" / "images" / "sign-in.svg"
SHIM = f'<script src="{docs_site.SHIM}" type="text/javascript"></script>'


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    docs_site.stage(folder)
    return folder


def pages(staged: Path) -> set[str]:
    return {path.relative_to(staged).as_posix() for path in staged.rglob("*.md")}


def test_the_navigation_names_every_document_once_and_nothing_else(staged: Path) -> None:
    named = docs_site.pages_of_navigation()
    assert len(named) == len(set(named))
    assert set(named) == {page for page in pages(staged) if not page.startswith(("files/", "benchmarks/"))}


def test_every_link_in_the_site_leads_to_a_page_or_a_picture(staged: Path) -> None:
    for page in pages(staged):
        for link in docs_site.LINK.finditer(re.sub(r"(?ms)^ *````?\w*$.*?^ *````?$", "", text_of(staged / page))):
            assert (staged / page).parent.joinpath(link["path"]).is_file(), (page, link["path"])


def test_a_source_file_that_a_document_links_has_a_page(staged: Path) -> None:
    page = text_of(staged / "files/examples/nginx/nginx.conf.md")
    assert text_of(ROOT / "examples/nginx/nginx.conf").rstrip("\n") in page


def test_the_foreign_script_is_replaced_by_our_own(tmp_path: Path) -> None:
    inner = site_of(tmp_path, SHIM)
    docs_site.finish(tmp_path)
    assert f'src="../{docs_site.OUR_SHIM}"' in text_of(inner)
    assert (tmp_path / docs_site.OUR_SHIM).is_file()


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://unpkg.com/mermaid/dist/mermaid.min.js"></script>',
        '<link rel="stylesheet" href="https://fonts.googleapis.com/css?family=Roboto">',
        '<img alt="" src="//pictures.example/a.png">',
    ],
)
def test_a_page_that_would_load_something_from_another_host_is_refused(tmp_path: Path, tag: str) -> None:
    site_of(tmp_path, tag)
    with pytest.raises(docs_site.SiteRefused, match="inner/page"):
        docs_site.finish(tmp_path)


def test_a_link_that_a_person_follows_may_lead_to_another_host(tmp_path: Path) -> None:
    site_of(tmp_path, '<a href="https://zensical.org/">Zensical</a>')
    docs_site.finish(tmp_path)


def test_the_picture_of_a_sign_in_shows_urls_that_the_programs_have() -> None:
    urls = set(re.findall(r"(?<![\w/])(/[a-z][\w/-]*)", re.sub(r"<[^>]+>", " ", text_of(PICTURE))))
    assert {"/sso/start", "/sso/login/jwt", "/login-token/", "/logout"} <= urls
    of_the_application = {"/reports"}
    known = text_of(ROOT / "docs/reference/urls.md")
    assert [url for url in urls - of_the_application if f"`{url}`" not in known] == []
    assert not any(Routes().include(url) for url in of_the_application)


def test_every_error_code_is_in_the_troubleshooting_guide() -> None:
    guide = text_of(ROOT / "docs/guides/troubleshooting.md")
    assert [code for code in REJECTIONS if f"`{code}`" not in guide] == []


def site_of(folder: Path, tag: str) -> Path:
    """Make a built site of one page with *tag* in it, and return the page."""
    page = folder / "inner" / "page.html"
    page.parent.mkdir()
    (folder / docs_site.OUR_SHIM).parent.mkdir(parents=True)
    page.write_text(f"<!doctype html><title>A page</title>{tag}", encoding="utf-8")
    return page


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_an_item_of_a_list_begins_where_both_dialects_see_it(document: Path) -> None:
    """GitHub begins an item anywhere; Python-Markdown only after a blank line or right after a one-paragraph item."""
    hidden, in_item, blank_in_item, before = [], False, False, ""
    for line in re.sub(r"(?ms)^ *```\w*$.*?^ *```$", "", text_of(document)).splitlines():
        is_item = re.match(r"(?:[-*]|\d+\.) ", line)
        if is_item and before and (blank_in_item or not in_item):
            hidden.append(line)
        if is_item:
            in_item, blank_in_item = True, False
        elif not line:
            blank_in_item = in_item
        elif not line.startswith(" ") and not before:
            in_item = blank_in_item = False
        before = line
    assert hidden == []
