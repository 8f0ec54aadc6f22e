"""Signing out, or being disabled, at the identity provider ends the gateway's session, for each pair of presets.

What a sign-in token says of a person differs from preset to preset, and only what it said can name the person later.
One pair of programs serves all of them: a provider and a service for each, with a separate key.
"""

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from lab.cast import Person, stranger
from lab.journeys import type_password
from lab.pair import Pair, add_people, running_pair, table
from shared.keys import generate_key, public_pem

SESSION_CACHE = 5  # seconds; the default of SP_SESSION_CACHE
UNCHECKED = {"expected": "", "match": True, "required": False}


@dataclass(frozen=True)
class Presets:
    """What the two sides are set to, and further settings of the gateway's."""

    at_gateway: str
    at_idp: str
    provider: Mapping[str, object]


PAIRS = {
    "ispring": Presets("ispring", "ispring", {}),
    "zendesk": Presets("zendesk", "zendesk", {}),
    "loginradius": Presets("loginradius", "loginradius", {}),
    "strict": Presets("strict", "lychgate", {}),
    "freshworks": Presets("ispring", "freshworks", {"algorithm": "RS256", "token_parameter": "id_token"}),
    "metabase": Presets(
        "ispring", "metabase", {"mapping": {"id": "email", "email": "email", "given_name": "first_name"}}
    ),
    "ispring-and-lychgate": Presets("ispring", "lychgate", {}),
    "sub-or-email": Presets("ispring", "ispring", {"mapping": {"id": ["sub", "email"], "email": "email"}}),
    "number-or-email": Presets("zendesk", "zendesk", {}),
}
NUMBERED = {"number-or-email": {"claims": {"external_id": "id"}}}  # what names the person is neither sub nor e-mail


@pytest.fixture(scope="module")
def presets_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair that knows each other once for every pair of presets."""
    with running_pair(tmp_path_factory.mktemp("presets"), people=[]) as pair:
        providers, services = "", ""
        for name, presets in PAIRS.items():
            private = generate_key(str(presets.provider.get("algorithm", "HS256")))
            public = public_pem(private) if private.startswith("-----BEGIN") else private
            providers += table(f"providers.{name}", provider_of(pair, name, presets, public))
            services += table(f"services.{name}", service_of(pair, name, presets, private))
        (pair.sp.folder / "more.toml").write_text(providers)
        (pair.idp.folder / "more.toml").write_text(services)
        pair.sp_command("providers", "apply", str(pair.sp.folder / "more.toml"))
        pair.idp_command("services", "apply", str(pair.idp.folder / "more.toml"))
        yield pair


def provider_of(pair: Pair, name: str, presets: Presets, key: str) -> dict[str, object]:
    strict = presets.at_gateway == "strict"
    return {
        "preset": presets.at_gateway,
        "keys": [key],
        "login_url": f"{pair.idp.url}/login-token/?service={name}",
        "issuer": {"expected": pair.idp.url, "match": True, "required": True} if strict else UNCHECKED,
        "audience": {"expected": pair.sp.url, "match": True, "required": True} if strict else UNCHECKED,
        **presets.provider,
    }


def service_of(pair: Pair, name: str, presets: Presets, key: str) -> dict[str, object]:
    return {
        "preset": presets.at_idp,
        "display_name": f"The gate, as {name} has it",
        "return_url": f"{pair.sp.url}/sso/login/jwt/{name}",
        "keys": [key],
        "backchannel_logout_url": f"{pair.sp.url}/sso/logout/backchannel",
        **NUMBERED.get(name, {}),
    }


@pytest.fixture
def person(presets_pair: Pair) -> Person:
    """A person whom the identity provider knows, but the gateway does not."""
    somebody = stranger()
    add_people(presets_pair, [somebody])
    return somebody


class Browser:
    """A browser without a window: it keeps cookies, follows redirects, and sends forms."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.client = httpx.Client(headers={"Accept": "text/html"}, trust_env=False, follow_redirects=True, timeout=30)

    def sign_in(self, name: str, person: Person) -> None:
        """Go from the gateway through the form and back."""
        form = self.client.get(f"{self._pair.sp.url}/sso/start/{name}?return_to=/inside")
        if 'name="password"' in form.text:
            form = self.send(form, email=person.email, password=person.password)
        if 'action="' in form.text and "/sso/login/jwt/" in form.text:  # a page that posts the token by its script
            form = self.send(form)
        assert self.is_in(person), form.text

    def sign_out_at_the_identity_provider(self) -> str:
        """Press the button there; return what the page says."""
        page = self.send(self.client.get(f"{self._pair.idp.url}/logout"))
        return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())

    def is_in(self, person: Person) -> bool:
        """Tell whether the protected application is shown, and to that person."""
        answer = self.client.get(f"{self._pair.sp.url}/inside", headers={"Accept": "text/css"})
        return answer.status_code == 200 and person.email in answer.text

    def send(self, page: httpx.Response, **typed: str) -> httpx.Response:
        """Send the page's one form."""
        form = re.search(r'<form[^>]*method="post"[^>]*>', page.text)
        assert form, page.text
        action = re.search(r'action="([^"]+)"', form[0])
        target = page.url.join(unescape(action[1])) if action else page.url
        return self.client.post(target, data={**hidden_fields(page.text), **typed})


def hidden_fields(text: str) -> dict[str, str]:
    found = (dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in re.findall(r"<input[^>]*>", text))
    return {tag["name"]: unescape(tag.get("value", "")) for tag in found if tag.get("type") == "hidden"}


@pytest.fixture
def browser_at(presets_pair: Pair) -> Iterator[Browser]:
    browser = Browser(presets_pair)
    yield browser
    browser.client.close()


def enter(browser: Browser, name: str, person: Person) -> None:
    """Sign in; where the gateway makes no accounts, the person has got theirs elsewhere before."""
    if PAIRS[name].at_gateway == "loginradius":
        browser.sign_in("ispring", person)
        browser.client.cookies.clear()
    browser.sign_in(name, person)


def assert_ends(is_in: Any) -> None:
    deadline = time.monotonic() + SESSION_CACHE
    while is_in():
        assert time.monotonic() < deadline, "the session never ended"
        time.sleep(0.05)


@pytest.mark.parametrize("name", PAIRS)
def test_signing_out_at_the_identity_provider_ends_the_gateways_session_and_the_page_counts_it(
    presets_pair: Pair, browser_at: Browser, person: Person, name: str
) -> None:
    enter(browser_at, name, person)
    words = browser_at.sign_out_at_the_identity_provider()
    assert re.search(rf"The gate, as {name} has it: notified\. It ended [12] sessions?\.", words), words
    assert_ends(lambda: browser_at.is_in(person))


@pytest.mark.parametrize("name", PAIRS)
def test_disabling_a_person_at_the_identity_provider_ends_their_sessions_at_the_gateway(
    presets_pair: Pair, browser_at: Browser, person: Person, name: str
) -> None:
    enter(browser_at, name, person)
    said = presets_pair.idp_command("users", "disable", person.email).stdout
    assert_ends(lambda: browser_at.is_in(person))
    assert re.search(rf"The gate, as {name} has it: notified\. It ended [12] sessions?\.", said), said


def test_a_person_who_is_disabled_after_their_session_there_has_ended_loses_the_one_at_the_gateway(
    presets_pair: Pair, browser_at: Browser, person: Person
) -> None:
    browser_at.sign_in("strict", person)  # its tokens name the session at the identity provider
    forget_sessions(presets_pair)
    presets_pair.idp_command("users", "disable", person.email)
    assert_ends(lambda: browser_at.is_in(person))


def forget_sessions(pair: Pair) -> None:
    """Let every session at the identity provider run out, as the clean-up does."""
    with sqlite3.connect(pair.idp.folder / "idp.sqlite3", timeout=30) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM sessions")
    database.close()


@pytest.mark.browser
def test_in_a_browser_signing_out_at_the_identity_provider_ends_an_ispring_session(
    page: Page, presets_pair: Pair, person: Person
) -> None:
    sign_in_through_ispring(page, presets_pair, person)
    page.goto(f"{presets_pair.idp.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("listitem")).to_have_text(["The gate, as ispring has it: notified. It ended 1 session."])
    page.goto(f"{presets_pair.sp.url}/inside")
    expect(page.get_by_role("heading", name="You are signed in", exact=False)).not_to_be_visible()
    expect(page.get_by_text(person.email)).not_to_be_visible()


@pytest.mark.browser
def test_in_a_browser_a_person_who_is_disabled_is_out_of_an_ispring_session(
    page: Page, presets_pair: Pair, person: Person
) -> None:
    sign_in_through_ispring(page, presets_pair, person)
    presets_pair.idp_command("users", "disable", person.email)
    page.goto(f"{presets_pair.sp.url}/inside")
    expect(page.get_by_text(person.email)).not_to_be_visible()


def sign_in_through_ispring(page: Page, pair: Pair, person: Person) -> None:
    page.goto(f"{pair.sp.url}/sso/start/ispring?return_to=/inside")
    type_password(page, person)
    expect(page.get_by_text(person.email, exact=True).first).to_be_visible()
