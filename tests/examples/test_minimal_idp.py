"""The minimal identity providers, in Python, PHP and Node, sign people in to the real gateway."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from playwright.sync_api import APIResponse, BrowserContext, Page, expect

from lab.cast import ALICE, MALLORY
from lab.minting import mint
from lab.pair import PROVIDER, program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.examples.conftest import found_or_skipped
from tests.examples.servers import EXAMPLES, running

WAYS = {
    # language: what makes the hash of a password, and what starts the program
    "python": (
        [sys.executable, "-c", "import werkzeug.security as s; print(s.generate_password_hash(input()))"],
        [sys.executable, "-m", "flask", "--app", str(EXAMPLES / "minimal_idp.py"), "run", "--port", "PORT"],
    ),
    "php": (
        ["php", "-r", r'echo password_hash(trim(fgets(STDIN)), PASSWORD_BCRYPT), "\n";'],
        ["php", "-S", "127.0.0.1:PORT", str(EXAMPLES / "minimal_idp.php")],
    ),
    "node": (
        ["node", str(EXAMPLES / "minimal_idp.mjs"), "hash"],
        ["node", str(EXAMPLES / "minimal_idp.mjs"), "PORT"],
    ),
}
DEEP_LINK = "/reports/2026?quarter=3&note=a%26b"
EVERY_TOKEN = {"iat", "jti", "exp", "email", "given_name", "family_name"}


@dataclass(frozen=True)
class Minimal:
    """A minimal identity provider, the gateway that trusts it, and their key."""

    url: str
    gateway: str
    key: str

    @property
    def login(self) -> str:
        return f"{self.url}/login-token/"


@pytest.fixture(scope="module", params=list(WAYS))
def minimal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minimal]:
    hashing, starting = WAYS[request.param]
    found_or_skipped(starting[0])
    folder = tmp_path_factory.mktemp(request.param)
    idp_port, sp_port, key = free_port(), free_port(), secrets.token_urlsafe(48)
    made = Minimal(f"http://127.0.0.1:{idp_port}", f"http://127.0.0.1:{sp_port}", key)
    typed = f"{ALICE.password}\n"
    password = subprocess.run(hashing, input=typed, capture_output=True, text=True, check=True, timeout=60).stdout
    alice = {"password": password.strip(), "given_name": ALICE.given_name, "family_name": ALICE.family_name}
    (folder / "people.json").write_text(json.dumps({ALICE.email: alice}))
    env = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SERVICE_KEY": key,
        "SERVICE_URL": f"{made.gateway}/sso/login/jwt",
        "PEOPLE_FILE": str(folder / "people.json"),
        "INSECURE_HTTP": "1",
    }
    provider = {
        "preset": "ispring",
        "default": True,
        "keys": [key],
        "login_url": made.login,
        "logout_url": f"{made.url}/logout",
        "require_nonce": True,
    }
    sp_env = program_environment("SP", folder / "sp", made.gateway, table(f"providers.{PROVIDER}", provider))
    start = [part.replace("PORT", str(idp_port)) for part in starting]
    with running(start, idp_port, folder / "idp", env), RunningProgram("run_sp.py", sp_port, folder / "sp", sp_env):
        yield made


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30) as made:
        yield made


@pytest.mark.browser
def test_a_person_signs_in_reaches_the_deep_link_and_signs_out_on_both_sides(
    minimal: Minimal, page: Page, context: BrowserContext
) -> None:
    page.goto(minimal.gateway + DEEP_LINK)
    page.get_by_label("E-mail").fill(ALICE.email)
    page.get_by_label("Password").fill(ALICE.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(minimal.gateway + DEEP_LINK)
    expect(page.get_by_text(ALICE.email).first).to_be_visible()
    assert ask_quietly(context, minimal).status == 303
    page.goto(f"{minimal.gateway}/logout")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    expect(page.get_by_text(f"{ALICE.email} is signed out.")).to_be_visible()
    assert ask_quietly(context, minimal).status == 200


def ask_quietly(context: BrowserContext, minimal: Minimal) -> APIResponse:
    """Ask the identity provider with the browser's cookies, without following redirects."""
    return context.request.get(minimal.login, max_redirects=0)


def test_a_token_says_what_the_seeds_name_and_what_the_service_sent_comes_back(
    minimal: Minimal, client: httpx.Client
) -> None:
    query = {"nonce": "n-0S6_WzA2Mj", "return_to": DEEP_LINK}
    answer = sign_in(minimal, client, params=query)
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    claims = jwt.decode(sent["jwt"][0], OctKey.import_key(minimal.key)).claims
    assert claims.keys() == EVERY_TOKEN | {"nonce"}
    assert (claims["email"], claims["nonce"]) == (ALICE.email, query["nonce"])
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 60
    assert sent["return_to"] == [DEEP_LINK]
    assert answer.headers["Location"].startswith(f"{minimal.gateway}/sso/login/jwt?")


def test_no_answer_is_kept_framed_or_named_to_another_site(minimal: Minimal, client: httpx.Client) -> None:
    for answer in (client.get(minimal.login), sign_in(minimal, client)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_head_request_issues_no_token(minimal: Minimal, client: httpx.Client) -> None:
    sign_in(minimal, client)
    assert "Location" not in client.head(minimal.login).headers


@pytest.mark.parametrize("email", [MALLORY.email, "ſtranger@éxample.com", "", "null\0@example.com", "x" * 5000])
def test_an_unknown_person_is_answered_like_one_with_a_wrong_password(
    minimal: Minimal, client: httpx.Client, email: str
) -> None:
    wrong = sign_in(minimal, client, password="wörng")
    unknown = sign_in(minimal, client, email=email)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text == unknown.text


def test_an_unknown_person_takes_as_long_as_a_known_one(minimal: Minimal, client: httpx.Client) -> None:
    """Compared by the least of five, with room: without the hash it is less than a tenth."""
    known = min(timed(minimal, client, ALICE.email) for _ in range(5))
    unknown = min(timed(minimal, client, MALLORY.email) for _ in range(5))
    assert unknown > known / 3


def timed(minimal: Minimal, client: httpx.Client, email: str) -> float:
    return sign_in(minimal, client, email=email, password="wrong").elapsed.total_seconds()


@pytest.mark.parametrize("token", [None, "", "ümlaut", "0" * 32])
def test_attack_a_form_of_another_site_signs_nobody_in(
    minimal: Minimal, client: httpx.Client, token: str | None
) -> None:
    client.get(minimal.login)
    answer = sign_in(minimal, client, csrf=token)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_attack_a_request_cannot_choose_where_the_token_goes(minimal: Minimal, client: httpx.Client) -> None:
    answer = sign_in(minimal, client, params={"return_to": "https://evil.example/", "service": "https://evil.example/"})
    assert answer.headers["Location"].startswith(f"{minimal.gateway}/")


NOW = {"email": ALICE.email, "jti": "1"}
TYPED = {"alg": "HS256", "typ": "logout+jwt"}


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({}, {"alg": "HS256", "typ": "JWT"}),
        ({}, {"alg": "HS256"}),
        ({}, {"alg": "HS256", "typ": ["logout+jwt"]}),
        ({"iat": -3600}, TYPED),
        ({"iat": 3600}, TYPED),
        ({"iat": None}, TYPED),
        ({"email": None}, TYPED),
    ],
)
def test_attack_anything_but_a_fresh_sign_out_token_signs_nobody_out(
    minimal: Minimal, client: httpx.Client, claims: Mapping[str, int | None], header: Mapping[str, str]
) -> None:
    sign_in(minimal, client)
    all_claims = {"iat": 0, **NOW, **claims}
    if all_claims["iat"] is not None:
        all_claims["iat"] = int(time.time()) + int(all_claims["iat"])
    token = mint({name: value for name, value in all_claims.items() if value is not None}, minimal.key, header)
    assert client.get(f"{minimal.url}/logout", params={"jwt": token}).status_code == 401
    assert client.get(minimal.login).status_code == 303


@pytest.mark.parametrize("token", ["", "a.b.c", "a.b", "....", "é.é.é"])
def test_attack_rubbish_signs_nobody_out(minimal: Minimal, client: httpx.Client, token: str) -> None:
    sign_in(minimal, client)
    assert client.get(f"{minimal.url}/logout", params={"jwt": token}).status_code == 401
    forged = mint({"iat": int(time.time()), **NOW}, "another key of at least thirty-two bytes", TYPED)
    assert client.get(f"{minimal.url}/logout", params={"jwt": forged}).status_code == 401
    assert client.get(minimal.login).status_code == 303


def test_the_email_on_the_sign_out_page_is_escaped(minimal: Minimal, client: httpx.Client) -> None:
    token = mint({"iat": int(time.time()), "email": "<b>x</b>"}, minimal.key, TYPED)
    answer = client.get(f"{minimal.url}/logout", params={"jwt": token})
    assert answer.status_code == 200
    assert "<b>" not in answer.text


@pytest.mark.parametrize("target", ["//", "/login-token/%", "/login-token/?jwt=%ff", "/nowhere", "//[", "/%00"])
def test_attack_odd_addresses_stop_nothing(minimal: Minimal, client: httpx.Client, target: str) -> None:
    request = client.build_request("GET", minimal.url)
    request.extensions["target"] = target.encode()
    assert client.send(request).status_code < 500
    assert client.get(minimal.login).status_code == 200


def sign_in(
    minimal: Minimal,
    client: httpx.Client,
    *,
    email: str = ALICE.email,
    password: str = ALICE.password,
    csrf: str | None = "from the form",
    params: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Open the form and send it; with *csrf*, another token than the form's, or None for none."""
    form = client.get(minimal.login, params=params)
    found = re.search(r'name="csrf" value="([^"]+)"', form.text)
    if found is None:
        client.cookies.clear()
        return sign_in(minimal, client, email=email, password=password, csrf=csrf, params=params)
    sent = {"email": email, "password": password}
    if csrf is not None:
        sent["csrf"] = found[1] if csrf == "from the form" else csrf
    return client.post(minimal.login, params=params, data=sent)


def test_the_python_one_is_read_in_five_minutes() -> None:
    text = (EXAMPLES / "minimal_idp.py").read_text()
    assert len(text.splitlines()) <= 100
    assert set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)) - set(sys.stdlib_module_names) == {
        "flask",
        "joserfc",
        "werkzeug",
    }


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("minimal_idp.py", "generate_password_hash"),
        ("minimal_idp.php", r"""php -r 'echo password_hash(trim(fgets(STDIN)), PASSWORD_BCRYPT), "\n";'"""),
        ("minimal_idp.mjs", "node minimal_idp.mjs hash"),
    ],
)
def test_each_file_says_how_a_hash_is_made(name: str, command: str) -> None:
    assert command in (EXAMPLES / name).read_text()
