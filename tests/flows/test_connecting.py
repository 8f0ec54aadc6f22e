"""A newcomer connects a provider with the pages alone: one file, one command, one test."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.cast import CAROL
from lab.journeys import type_password
from lab.pair import Pair
from lab.ports import free_port
from tests.conftest import NewContext
from tests.flows.test_pages import see

pytestmark = pytest.mark.browser


def enter(page: Page, pair: Pair) -> None:
    page.goto(f"{pair.sp.url}/login?no_sso")
    type_password(page, CAROL)
    expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()


def create(page: Page, pair: Pair, host: str = "127.0.0.1") -> str:
    """Create a provider with every value as it is, but for the port: tests run beside each other. Return its name."""
    page.goto(f"{pair.sp.url}/settings")
    page.get_by_role("link", name="Create a provider").click()
    page.get_by_role("link", name="Start with Strict").click()
    name = page.get_by_label("Provider name").input_value()
    assert page.get_by_label("Identity provider URL").input_value().startswith("http://127.0.0.1:")
    page.get_by_label("Identity provider URL").fill(f"http://{host}:{free_port()}/login-token/")
    page.get_by_role("button", name="Create it as it is").click()
    expect(page.get_by_role("heading", name=f"The provider {name} was created")).to_be_visible()
    return name


@contextmanager
def program_running(page: Page, folder: Path) -> Iterator[None]:
    """Download the program for Python, and run it with the command beside it."""
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download for Python").click()
    download = downloading.value
    assert not download.url.startswith("data:"), "browsers keep the URLs of downloads"
    download.save_as(folder / download.suggested_filename)
    command = shlex.split(page.locator("#run-1").inner_text())
    arguments = [sys.executable, *command[1:]]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("Ready at http://")
            assert 'go back to the browser and press "Test a sign-in"' in line
            yield
        finally:
            process.terminate()
            process.wait(10)


def try_it(page: Page) -> Page:
    """Test a sign-in in the second window; return it with the report."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Test a sign-in").click()
    window = opened.value
    window.get_by_role("button", name="Sign in as Alice Example").click()
    expect(window.get_by_role("heading", name="Result of the test sign-in")).to_be_visible()
    expect(window.get_by_text("This sign-in would succeed.")).to_be_visible()
    return window


def test_a_newcomer_connects_a_provider_with_the_pages_alone(
    page: Page, own_pair: Pair, new_context: NewContext, tmp_path: Path
) -> None:
    pair = own_pair
    enter(page, pair)
    name = create(page, pair)
    assert pair.sp_command("providers", "show", name).returncode == 0
    with program_running(page, tmp_path):
        report = try_it(page)
        assert report.locator(".text-danger, .check-failed").count() == 0
        assert {look: found for look, found in see(report, "report").violations.items() if found} == {}
        report.get_by_role("button", name="Accept only tokens with these values").click()
        expect(report.get_by_text("tokens with another issuer or audience are rejected")).to_be_visible()
        expect(report.get_by_text("Sign in for real: open this URL in a private window")).to_be_visible()
        expect(report.get_by_text("Later, enter the URL of your own sign-in page in the settings.")).to_be_visible()
        sign_in_url = report.get_by_label("Sign-in URL").input_value()
        assert sign_in_url == f"{pair.sp.url}/sso/start/{name}"
        report.close()
        page.goto(f"{pair.sp.url}/settings/sso/jwt")
        expect(page.get_by_text(re.compile(r"1 key, used by a test .*, not by a sign-in yet"))).to_be_visible()

        person = new_context().new_page()
        person.goto(sign_in_url)
        person.get_by_role("button", name="Sign in as Alice Example").click()
        person.wait_for_url(lambda url: url.startswith(pair.sp.url))
        person.goto(f"{pair.sp.url}/account")
        expect(person.get_by_role("heading", name="Alice Example")).to_be_visible()


def test_the_path_needs_no_scripts_and_the_program_may_be_another_site(
    browser: Browser, own_pair: Pair, tmp_path: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    enter(page, own_pair)
    create(page, own_pair, "localhost")
    with program_running(page, tmp_path):
        report = try_it(page)
        report.get_by_role("button", name="Accept only tokens with these values").click()
        expect(report.get_by_text("tokens with another issuer or audience are rejected")).to_be_visible()
    context.close()
