"""Sign in with Selenium: pip install 'lychgate[test]' selenium, and then pytest.

Selenium finds Chrome and its driver by itself. This test prefers the Chrome and the driver of the distribution.
"""

import shutil

import pytest
from selenium import webdriver


@pytest.fixture(scope="session")
def driver():
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")  # as root, in a container; the pages are your own
    options.binary_location = shutil.which("chromium") or ""
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield running
    running.quit()


def test_alice_sees_the_protected_page(lychgate, driver):
    lychgate.sign_in(driver, path="/reports")
    assert driver.current_url == f"{lychgate.sp_url}/reports"
    assert "You are signed in, Alice Liddell" in driver.page_source


def test_another_person_in_the_same_browser(lychgate, driver):
    dora = lychgate.add_person("dora@example.org", given_name="Dora", family_name="Doyle")
    lychgate.sign_in(driver, dora)
    assert "You are signed in, Dora Doyle" in driver.page_source


def test_a_session_that_is_made_at_once(lychgate, driver):
    lychgate.sign_in(driver, path="/reports", fast=True)
    assert driver.current_url == f"{lychgate.sp_url}/reports"
    lychgate.sign_out_at_provider()
    driver.refresh()
    assert driver.current_url.startswith(lychgate.idp_url)
