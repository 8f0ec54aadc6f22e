"""Every example runs as it lies there, with the real server, and keeps what it promises."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from lab.cast import ALICE, MALLORY
from lab.journeys import type_password
from lab.pair import Pair
from lab.ports import free_port
from sp.request.identity_headers import HEADER_SETS
from sp.routes import EXACT, FOR_MACHINES, PREFIXES
from tests.examples import servers
from tests.examples.conftest import STARTERS, Example

DEEP_LINK = "/reports/2026?quarter=3&note=a%26b"
FORGED = {
    name: MALLORY.email
    for given in ("Remote-User", "Remote-Email", *(name for names in HEADER_SETS.values() for name in names))
    for name in (given, given.replace("-", "_"), given.lower())
} | {"X-Lychgate-Assertion": "forged", "X_Lychgate_Assertion": "forged", "X-Original-URL": "http://127.0.0.1/public/"}
OWN = sorted({*EXACT, *PREFIXES} - {*FOR_MACHINES})
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(params=list(STARTERS))
def example(request: pytest.FixtureRequest, started: Callable[[str], Example]) -> Example:
    """Each example in turn."""
    return started(request.param)


@pytest.mark.browser
def test_a_person_signs_in_from_a_deep_link_is_known_to_the_application_and_signs_out(
    page: Page, example: Example
) -> None:
    go_in(page, example)
    forged = ask(example, DEEP_LINK, page.context, FORGED | PAGE)
    assert ALICE.email in forged.text
    assert MALLORY.email not in forged.text
    page.goto(f"{example.url}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    page.goto(example.url + DEEP_LINK)
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_script_is_told_401_and_a_person_is_sent_to_the_sign_in(example: Example) -> None:
    script = ask(example, DEEP_LINK, headers={"Accept": "application/json"})
    assert (script.status_code, script.headers.get("Location")) == (401, None)
    person = ask(example, DEEP_LINK, headers=PAGE)
    assert person.status_code == 302
    assert person.headers["Location"].startswith(f"{example.url}/sso/start?return_to=%2Freports%2F2026")
    form = httpx.post(example.url + DEEP_LINK, headers=PAGE, data={"a": "b"}, trust_env=False)
    assert form.status_code == 303


def test_attack_forged_headers_make_nobody_somebody(example: Example) -> None:
    public = ask(example, "/public/page", headers=FORGED | PAGE)
    assert public.status_code == 200
    assert "You are not signed in." in public.text
    assert MALLORY.email not in public.text
    assert "with an assertion" not in public.text
    assert ask(example, DEEP_LINK, headers=FORGED | PAGE).status_code == 302


@pytest.mark.parametrize(
    "path", ["/public/..%2fsecret", "/public//secret", "/public/%2e%2e/secret", "/sso/..%2fsecret"]
)
def test_attack_a_path_that_is_read_in_two_ways_reaches_no_application(example: Example, path: str) -> None:
    answer = ask(example, path, headers=PAGE)
    assert answer.status_code in (302, 400, 403)
    assert "You are not signed in." not in answer.text


@pytest.mark.parametrize("question", ["/sso/auth/nginx", "/sso/auth/forward"])
@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_attack_a_client_cannot_ask_the_proxies_questions(
    proxy: str, question: str, started: Callable[[str], Example]
) -> None:
    assert ask(started(proxy), question, headers=FORGED).status_code == 404


@pytest.mark.browser
def test_nginx_keeps_an_answer_for_the_session_that_it_was_given_to(
    page: Page, started: Callable[[str], Example], idp_pair: Pair, tmp_path_factory: pytest.TempPathFactory
) -> None:
    go_in(page, started("nginx"))
    folder = tmp_path_factory.mktemp("caching")
    port, behind = free_port(), free_port()
    keeping = Example("nginx", f"http://127.0.0.1:{port}", idp_pair.sp.own_url)
    with (
        servers.application(behind, folder / "app"),
        servers.nginx(str(servers.find("nginx")), port, idp_pair.sp.port, behind, folder, caching=True),
    ):
        before = let_in(idp_pair)
        for _ in range(3):
            assert ALICE.email in ask(keeping, DEEP_LINK, page.context, PAGE).text
        assert let_in(idp_pair) == before + 1
        assert ask(keeping, DEEP_LINK, headers=PAGE).status_code == 302
        assert ask(keeping, DEEP_LINK, headers=PAGE | {"Cookie": "sp_session=" + "x" * 43}).status_code == 302


def test_nginx_passes_on_every_address_of_the_gateway_and_no_other() -> None:
    pattern = re.search(r"location ~ (\S+) \{", (servers.EXAMPLES / "nginx" / "nginx.conf").read_text())
    assert pattern
    own = re.compile(pattern[1])
    assert [path for path in OWN if not own.search(path)] == []
    foreign = [*FOR_MACHINES, "/", "/ssoish", "/loginx", "/a/login", "/settings/", "/settings/usersx", "/access/jwtx"]
    assert [path for path in foreign if own.search(path)] == []


@pytest.mark.parametrize(("file", "exact", "prefix"), [
    ("caddy/Caddyfile", " {} ", " {}* "),
    ("traefik/dynamic.yml", " Path(`{}`)", "PathPrefix(`{}`)"),
])  # fmt: skip
def test_caddy_and_traefik_name_every_address_of_the_gateway(file: str, exact: str, prefix: str) -> None:
    text = re.sub(r"\s", " ", (servers.EXAMPLES / file).read_text())
    wanted = [(prefix if path.endswith("/") else exact).format(path) for path in OWN]
    assert [words for words in wanted if words not in text] == []


def test_attack_a_client_behind_traefik_chooses_the_id_of_its_request() -> None:
    """What the other proxies do is tried in tests/doctor."""
    text = (servers.EXAMPLES / "traefik/dynamic.yml").read_text()
    chains = re.findall(r"^      middlewares: \[(.*)\]$", text, re.MULTILINE)
    assert len(chains) == text.count("      rule: ") == 3
    assert all("without-request-id" in chain for chain in chains)
    assert 'without-request-id:\n      headers:\n        customRequestHeaders:\n          X-Request-Id: ""\n' in text


def go_in(page: Page, example: Example) -> None:
    """Go from a deep link through the identity provider's form, and back to that same page."""
    page.goto(example.url + DEEP_LINK)
    type_password(page, ALICE)
    expect(page).to_have_url(example.url + DEEP_LINK)
    expect(page.get_by_text(f"You are {ALICE.email}.")).to_be_visible()


def ask(
    example: Example, path: str, browser: BrowserContext | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Ask an example for *path*, with the cookies of *browser*, without following redirects."""
    cookies = browser.cookies(example.url) if browser else []
    sent = {"Cookie": "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in cookies)} if cookies else {}
    return httpx.get(example.url + path, headers=sent | (headers or {}), trust_env=False)


def let_in(pair: Pair) -> float:
    """Return how often the gateway has allowed a request that nginx asked about."""
    text = httpx.get(f"{pair.sp.own_url}/metrics", trust_env=False).text
    found = re.findall(r'^lychgate_decisions\S*\{skin="nginx",verdict="let in"\} (\S+)$', text, re.MULTILINE)
    assert len(found) == 1, text
    return float(found[0])
