"""Our identity provider signs in to every emulated service with the preset of that name; so do the published samples.

Both sides are real and speak HTTP: a browser without a window follows redirects, types the password and sends forms.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page, expect

import idp
import idp.config
from lab.forging import key_for
from lab.minting import ispring_token, mint
from lab.ports import free_port
from lab.server import ServerThread
from lab.service_provider import PRODUCTS, EmulatedService
from shared.keys import generate_key, public_pem
from tests.conftest import NewContext
from tests.lab.emulated import KEYS

EMAIL, PASSWORD = "alice@example.org", "looking-glass-1865"
HOPS = 12
SECRETS = {name: generate_key("HS256") for name in PRODUCTS}
PRIVATE = generate_key("RS256")


@dataclass(frozen=True)
class Sides:
    """The identity provider's URL, and the services that it knows."""

    idp_url: str
    services: Mapping[str, EmulatedService]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Both sides, which know each other: each service is set up by its preset, its URL and its key, and no more."""
    folder, port = tmp_path_factory.mktemp("idp"), free_port()
    url = f"http://127.0.0.1:{port}"
    app = idp.create_app(idp.config.load({"IDP_INSTANCE": str(folder), "IDP_EXTERNAL_URL": url}))
    with ExitStack() as stack:
        services = {
            name: stack.enter_context(
                EmulatedService(
                    name,
                    public_pem(PRIVATE) if name == "freshworks" else SECRETS[name],
                    login_url=f"{url}/login-token/?service={name}",
                    logout_url=f"{url}/logout",
                )
            )
            for name in PRODUCTS
        }
        set_up(app, folder, services)
        stack.enter_context(ServerThread(app, port))
        yield Sides(url, services)


def set_up(app: Flask, folder: Path, services: Mapping[str, EmulatedService]) -> None:
    """Add the person and the services, as an administrator does."""
    file = folder / "services.toml"
    tables = [
        f"[services.{name}]\npreset = {json.dumps(name)}\nreturn_url = {json.dumps(service.token_url)}\n"
        f"keys = [{json.dumps(PRIVATE if name == 'freshworks' else SECRETS[name])}]\n"
        for name, service in services.items()
    ]
    file.write_text("\n".join(tables))
    runner = app.test_cli_runner()
    person = ["users", "add", EMAIL, "--given-name", "Alice", "--family-name", "Liddell", "--group", "staff"]
    for command in ([*person, "--password-stdin"], ["services", "apply", str(file)]):
        done = runner.invoke(args=command, input=f"{PASSWORD}\n{PASSWORD}\n")
        assert done.exit_code == 0, done.output


class Windowless:
    """A browser without a window: keeps cookies, follows redirects, and sends the one form of a page."""

    def __init__(self) -> None:
        self.client = httpx.Client(trust_env=False, headers={"Accept": "text/html"})

    def go(self, url: str) -> httpx.Response:
        """Go there, type the password if asked, and return the page where it ends."""
        page = self.follow(self.client.get(url))
        for _ in range(3):
            if 'name="password"' in page.text:
                page = self.send(page, email=EMAIL, password=PASSWORD)
            elif "<form" in page.text and "/logout" not in page.text:  # posts itself by its script
                page = self.send(page)
        return page

    def follow(self, page: httpx.Response) -> httpx.Response:
        """Follow redirects."""
        for _ in range(HOPS):
            if not page.is_redirect:
                return page
            page = self.client.get(page.url.join(page.headers["location"]))
        raise AssertionError("too many redirects")

    def send(self, page: httpx.Response, **typed: str) -> httpx.Response:
        """Send the page's form that posts."""
        form = re.search(r'<form[^>]*method="post"[^>]*>.*?</form>', page.text, re.DOTALL)
        assert form, page.text
        action = re.search(r'^<form[^>]*action="([^"]+)"', form[0])
        hidden = (dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in re.findall(r"<input[^>]*>", form[0]))
        fields = {tag["name"]: unescape(tag.get("value", "")) for tag in hidden if tag.get("type") == "hidden"}
        target = page.url.join(unescape(action[1])) if action else page.url
        return self.follow(self.client.post(target, data={**fields, **typed}))


@pytest.fixture
def windowless() -> Iterator[Windowless]:
    made = Windowless()
    yield made
    made.client.close()


@pytest.mark.parametrize("name", PRODUCTS)
def test_our_preset_signs_in(name: str, sides: Sides, windowless: Windowless) -> None:
    service = sides.services[name]
    page = windowless.go(service.start_url)
    assert service.last().accepted, (service.last().rule, service.last().found)
    assert "You are signed in" in page.text
    assert EMAIL in page.text


@pytest.mark.parametrize("name", ["zendesk", "freshworks", "metabase", "discourse"])
def test_our_preset_brings_a_person_back_to_the_page_that_was_asked_for(
    name: str, sides: Sides, windowless: Windowless
) -> None:
    page = windowless.go(f"{sides.services[name].url}/deep/page?a=b")
    assert str(page.url) == f"{sides.services[name].url}/deep/page?a=b"
    assert "You are signed in" in page.text


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name != "freshworks"])  # begin at Freshworks
def test_our_list_of_services_signs_in(name: str, sides: Sides, windowless: Windowless) -> None:
    sides.services[name].reset()
    page = windowless.go(f"{sides.idp_url}/login-token/?service={name}")
    assert sides.services[name].last().accepted
    assert "You are signed in" in page.text


def test_signing_out_at_ispring_signs_out_at_our_identity_provider(sides: Sides, windowless: Windowless) -> None:
    service = sides.services["ispring"]
    page = windowless.go(service.start_url)
    page = windowless.send(page)
    assert str(page.url).startswith(f"{sides.idp_url}/logout")
    assert page.status_code == 200
    assert EMAIL in page.text
    assert 'name="password"' in windowless.follow(windowless.client.get(service.start_url)).text


# --- In a browser ---


@pytest.mark.browser
@pytest.mark.parametrize("name", PRODUCTS)
def test_in_a_browser_our_preset_signs_in_and_the_page_signs_out(name: str, sides: Sides, page: Page) -> None:
    page.goto(sides.services[name].start_url)
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="You are signed in")).to_be_visible()
    expect(page.get_by_text(f"Signed in as {EMAIL}.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: not url.endswith("/logout") or url.startswith(sides.idp_url))
    page.goto(sides.services[name].url)
    expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("colors", ["light", "dark"])
def test_in_a_browser_the_page_that_names_the_broken_rule_is_readable_on_a_phone(
    sides: Sides, new_context: NewContext, colors: Literal["light", "dark"]
) -> None:
    page = new_context(color_scheme=colors, java_script_enabled=True, viewport={"width": 320, "height": 640}).new_page()
    expired = {"iat": 1, "exp": 61, "jti": "1", "email": "a-long-address-of-a-person@department.example.org"}
    page.goto(f"{sides.services['ispring'].token_url}?jwt={mint(expired, SECRETS['ispring'])}")
    expect(page.get_by_role("heading", name="iSpring Learn refused this sign-in")).to_be_visible()
    expect(page.get_by_text("What the emulator found: it was")).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"] + node["failureSummary"] for node in v["nodes"]]) for v in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("script").count() == 0


# --- The published samples, rebuilt ---


def test_the_published_ispring_sample_signs_in_unchanged(windowless: Windowless) -> None:
    """authentication.php: GET, four claims, exp of 60 seconds, a jti of 44 characters with + / and =, JSON of PHP."""
    with EmulatedService("ispring", KEYS["ispring"].secret) as service:
        for _ in range(3):
            page = windowless.follow(
                windowless.client.get(service.token_url, params={"jwt": ispring_token(KEYS["ispring"].secret, EMAIL)})
            )
            assert service.last().accepted, service.last().found
        assert EMAIL in page.text


ZENDESK_SAMPLES: dict[str, Callable[[], object]] = {  # what the samples of each language put into jti
    "Python, uuid1": lambda: str(uuid.uuid1()),
    "Ruby, time and random number": lambda: f"{int(time.time())}-{uuid.uuid4().int}",
    "a number, in older documents": lambda: 8883362531196.326,
}


@pytest.mark.parametrize("sample", ZENDESK_SAMPLES)
def test_the_published_zendesk_samples_sign_in_unchanged(sample: str, windowless: Windowless) -> None:
    """The form posts iat, jti, name and email without exp; return_to and others ride along in the query."""
    key = KEYS["zendesk"].secret
    with EmulatedService("zendesk", key) as service:
        claims = {"iat": int(time.time()), "jti": ZENDESK_SAMPLES[sample](), "name": "Alice Liddell", "email": EMAIL}
        query = {"brand_id": "360", "locale_id": "1", "timestamp": "1795309803"}
        query["return_to"] = f"{service.url}/hc/articles/42"
        answer = windowless.client.post(service.token_url, params=query, data={"jwt": mint(claims, key)})
        assert service.last().accepted, service.last().found
        assert answer.headers["location"] == "/hc/articles/42"
        assert "You are signed in" in windowless.follow(answer).text


def test_the_documents_token_of_ispring_with_its_claims_in_capitals_is_refused(windowless: Windowless) -> None:
    """The documentation spells IAT, JTI and ехр, the last in Cyrillic letters; the article spells them right."""
    now = int(time.time())
    with EmulatedService("ispring", key_for("HS256").secret) as service:
        wrong = {"IAT": now, "JTI": "f4as6d5f4as6d54fasd6df4", "ехр": now + 60, "email": EMAIL}
        windowless.client.get(service.token_url, params={"jwt": mint(wrong, key_for("HS256").secret)})
        assert (service.last().rule, service.last().found) == ("iat", "it is missing")
