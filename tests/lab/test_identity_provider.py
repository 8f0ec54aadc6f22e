"""The identity provider without passwords: in this process, and over HTTP for other languages."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest

from lab.__main__ import main
from lab.faults import FAULTS, NotApplicable, UnknownFault
from lab.forging import key_for
from lab.identity_provider import IdentityProvider
from lab.ports import free_port
from lab.server import ServerThread
from tests.support.gateway import make_gateway

SECRET = "a secret of the tests, long enough for SHA-256"
SERVICE = "http://127.0.0.1:9/sso/jwt"


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_args: object) -> None:
        return None


class Browser:
    """Keeps cookies; returns status, Location and text, for every status."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(Stay, urllib.request.HTTPCookieProcessor(CookieJar()))

    def ask(self, url: str, body: object = None, **headers: str) -> tuple[int, str, str]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None or isinstance(body, bytes) else {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, {**kind, **headers})
        try:
            answer = self._opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get("Location", ""), answer.read().decode()


def claims_in(location: str, **options: Any) -> dict[str, Any]:
    token = parse_qs(urlsplit(location).query)["jwt"][0]
    claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], **options)
    return claims


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    with IdentityProvider(SECRET, SERVICE) as running:
        yield running


@pytest.fixture
def browser() -> Browser:
    return Browser()


def sign_in(browser: Browser, idp: IdentityProvider, **query: str) -> str:
    status, location, text = browser.ask(f"{idp.login_url}?{urlencode(query)}")
    assert status == 303, text
    assert location.startswith(f"{SERVICE}?")
    return location


def test_a_named_person_gets_a_token_without_a_password(idp: IdentityProvider, browser: Browser) -> None:
    claims = claims_in(sign_in(browser, idp, user="carol@example.org"))
    assert (claims["email"], claims["given_name"]) == ("carol@example.org", "Carol")


def test_return_to_and_nonce_come_back(idp: IdentityProvider, browser: Browser) -> None:
    location = sign_in(browser, idp, user="alice@example.org", return_to="/a?b=c&d", nonce="n-1")
    assert parse_qs(urlsplit(location).query)["return_to"] == ["/a?b=c&d"]
    assert claims_in(location)["nonce"] == "n-1"


def test_a_token_goes_to_the_one_service_whatever_is_asked(idp: IdentityProvider, browser: Browser) -> None:
    location = sign_in(browser, idp, user="alice@example.org", service="https://mallory.example", return_to="//mallory")
    assert urlsplit(location).netloc == urlsplit(SERVICE).netloc


def test_an_answer_with_a_token_is_not_kept(idp: IdentityProvider) -> None:
    seen = urllib.request.build_opener(Stay)
    with pytest.raises(urllib.error.HTTPError) as redirected:
        seen.open(f"{idp.login_url}?user=alice@example.org", timeout=20)
    redirected.value.close()
    assert redirected.value.headers["Cache-Control"] == "no-store"
    assert redirected.value.headers["Referrer-Policy"] == "no-referrer"


def test_a_fault_is_sent_as_it_is_named(idp: IdentityProvider, browser: Browser) -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        claims_in(sign_in(browser, idp, user="alice@example.org", fault="expired"))
    assert idp.sent[-1].fault == "expired"


def test_the_page_lists_every_fault_as_a_link_that_works(idp: IdentityProvider, browser: Browser) -> None:
    _status, _location, page = browser.ask(f"{idp.login_url}?return_to=/x&nonce=n-1")
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/login-token/\?[^"]+)"', page)]
    named = [parse_qs(urlsplit(link).query)["fault"][0] for link in links]
    assert set(named) == {fault.name for fault in FAULTS.values()} - NOT_FOR_SECRETS
    for link in links:
        status, location, _text = browser.ask(idp.url + link)
        assert status == 303
        assert "return_to=%2Fx" in location


NOT_FOR_SECRETS = {
    *("alg-confusion", "alg-confusion-stripped", "alg-confusion-der", "encrypted-to-public-key"),
    *("replayed-other-signature", "key-base64-decoded"),
}


def test_the_next_sign_in_is_as_a_test_decides_and_only_that_one(idp: IdentityProvider, browser: Browser) -> None:
    idp.next(user="carol@example.org", claims={"groups": ["admins"], "level": 5}, without=["name"])
    claims = claims_in(sign_in(browser, idp))
    assert (claims["email"], claims["groups"], claims["level"]) == ("carol@example.org", ["admins"], 5)
    assert "name" not in claims
    assert "groups" not in claims_in(sign_in(browser, idp, user="carol@example.org"))


def test_what_was_decided_waits_for_a_request_that_names_no_one(idp: IdentityProvider, browser: Browser) -> None:
    idp.next(user="carol@example.org")
    assert claims_in(sign_in(browser, idp, user="alice@example.org"))["email"] == "alice@example.org"
    assert claims_in(sign_in(browser, idp))["email"] == "carol@example.org"


def test_a_browser_that_signed_in_is_remembered_until_sign_out(idp: IdentityProvider, browser: Browser) -> None:
    sign_in(browser, idp, user="carol@example.org")
    assert claims_in(sign_in(browser, idp))["email"] == "carol@example.org"
    assert Browser().ask(idp.login_url)[0] == 200  # another browser is asked
    browser.ask(idp.logout_url)
    status, _location, page = browser.ask(idp.login_url)
    assert status == 200
    assert "Sign in without a password" in page


def test_a_reset_forgets_decisions_sign_ins_and_what_was_sent(idp: IdentityProvider, browser: Browser) -> None:
    sign_in(browser, idp, user="carol@example.org")
    idp.next(user="carol@example.org")
    idp.reset()
    assert browser.ask(idp.login_url)[0] == 200
    assert idp.sent == ()


def test_a_person_has_claims_of_their_own(idp: IdentityProvider, browser: Browser) -> None:
    idp.add_person("carol@example.org", groups=["admins"])
    assert claims_in(sign_in(browser, idp, user="carol@example.org"))["groups"] == ["admins"]
    assert "groups" not in claims_in(sign_in(browser, idp, user="alice@example.org"))


def test_a_second_use_brings_the_good_token_first(idp: IdentityProvider, browser: Browser) -> None:
    first = sign_in(browser, idp, user="alice@example.org", fault="replayed")
    again = sign_in(browser, idp, user="alice@example.org", fault="replayed")
    third = sign_in(browser, idp, user="alice@example.org", fault="replayed")
    assert claims_in(first)["jti"] == claims_in(again)["jti"] != claims_in(third)["jti"]


@pytest.mark.parametrize(("fault", "error"), [("expierd", UnknownFault), ("alg-confusion", NotApplicable)])
def test_a_fault_that_cannot_be_sent_is_refused_at_once(
    fault: str, error: type[Exception], idp: IdentityProvider, browser: Browser
) -> None:
    with pytest.raises(error):
        idp.next(fault=fault)
    status, _location, text = browser.ask(f"{idp.login_url}?user=alice@example.org&fault={fault}")
    assert status == 400
    assert fault in json.loads(text)["error"]


def test_the_token_may_be_posted(browser: Browser) -> None:
    with IdentityProvider(SECRET, SERVICE, delivery="form", parameter="token") as idp:
        _status, _location, page = browser.ask(f"{idp.login_url}?user=alice@example.org&return_to=/x")
    assert f'action="{SERVICE}" method="post"' in page
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    assert jwt.decode(token[1], SECRET, algorithms=["HS256"])["email"] == "alice@example.org"
    assert 'name="return_to" value="/x"' in page


def test_a_public_key_is_published(browser: Browser) -> None:
    with IdentityProvider(key_for("ES256"), SERVICE) as idp:
        published = json.loads(browser.ask(f"{idp.url}/.well-known/jwks.json")[2])["keys"]
        sign_in(browser, idp, user="alice@example.org")
        key = jwt.PyJWK(published[0])
        assert jwt.decode(idp.sent[-1].token, key, algorithms=["ES256"])["email"] == "alice@example.org"
    with IdentityProvider(SECRET, SERVICE) as idp:
        assert json.loads(browser.ask(f"{idp.url}/.well-known/jwks.json")[2]) == {"keys": []}


def test_it_starts_within_fifty_milliseconds() -> None:
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        with IdentityProvider(SECRET, SERVICE) as idp, urllib.request.urlopen(f"{idp.url}/__lab__/", timeout=20):
            took.append(time.perf_counter() - begun)
    assert min(took) < 0.05


def test_it_resets_within_fifty_milliseconds(idp: IdentityProvider) -> None:
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        idp.reset()
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.05


# --- Over HTTP ---


def test_another_language_decides_over_http(idp: IdentityProvider, browser: Browser) -> None:
    assert browser.ask(f"{idp.url}/__lab__/next", {"user": "carol@example.org", "claims": {"groups": ["a"]}})[0] == 204
    assert claims_in(sign_in(browser, idp))["groups"] == ["a"]
    last = json.loads(browser.ask(f"{idp.url}/__lab__/last")[2])
    assert (last["user"], last["fault"], last["claims"]["groups"]) == ("carol@example.org", "", ["a"])
    assert browser.ask(f"{idp.url}/__lab__/reset", b"")[0] == 204
    assert json.loads(browser.ask(f"{idp.url}/__lab__/last")[2]) is None


def test_it_says_where_things_are(idp: IdentityProvider, browser: Browser) -> None:
    about = json.loads(browser.ask(f"{idp.url}/__lab__/")[2])
    assert about["login_url"] == idp.login_url
    assert about["service"] == SERVICE
    assert "expired" in about["faults"]


@pytest.mark.parametrize(
    "body", [[], {"users": "a"}, {"user": 5}, {"claims": []}, {"without": "a"}, {"fault": "no-such"}]
)
def test_a_decision_that_makes_no_sense_is_refused(body: object, idp: IdentityProvider, browser: Browser) -> None:
    status, _location, text = browser.ask(f"{idp.url}/__lab__/next", body)
    assert status == 400
    assert json.loads(text)["error"]


def test_a_page_of_another_site_cannot_decide(idp: IdentityProvider, browser: Browser) -> None:
    sent = b'{"user": "mallory@example.org"}'
    assert browser.ask(f"{idp.url}/__lab__/next", sent, **{"Content-Type": "text/plain"})[0] == 415
    assert browser.ask(f"{idp.url}/__lab__/reset", b"", **{"Sec-Fetch-Site": "cross-site"})[0] == 403


def test_a_name_that_resolves_to_this_machine_is_refused(idp: IdentityProvider, browser: Browser) -> None:
    status, _location, text = browser.ask(f"{idp.login_url}?user=alice@example.org", Host="rebound.mallory.example")
    assert status == 403
    assert "jwt" not in text
    assert idp.sent == ()


def test_it_signs_in_at_our_gateway_and_faults_are_refused_there(tmp_path: Path, browser: Browser) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with IdentityProvider(SECRET, f"{url}/sso/login/jwt", claims={"iss": "https://idp.example.com", "aud": url}) as idp:
        settings = {
            "preset": "strict",
            "keys": [SECRET],
            "login_url": idp.login_url,
            "issuer": "https://idp.example.com",
            "audience": url,
            "default": True,
        }
        with ServerThread(make_gateway(tmp_path, {"corporate": settings}, SP_EXTERNAL_URL=url), port):
            assert visit(browser, f"{url}/sso/start?return_to=/account", idp, {}) == f"{url}/account"
            ended = visit(Browser(), f"{url}/sso/start?return_to=/account", idp, {"fault": "expired"})
    assert "code=token_expired" in ended


def visit(browser: Browser, start: str, idp: IdentityProvider, decided: Mapping[str, str]) -> str:
    """Follow redirects as a browser does, and return where they end."""
    idp.next(user="alice@example.org", **decided)  # type: ignore[arg-type]
    url = start
    for _ in range(10):
        status, location, _text = browser.ask(url)
        if not location:
            assert status in (200, 401)
            return url
        url = urllib.parse.urljoin(url, location)
    raise AssertionError("a loop of redirects")


# --- As a command ---


@contextlib.contextmanager
def served(*options: str) -> Iterator[tuple[str, str]]:
    """Run `lab serve-idp` on a free port; return its origin and what it has printed when it listens."""
    command = [sys.executable, "-m", "lab", "serve-idp", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        printed = ""
        while "Sign in at" not in printed:
            line = process.stderr.readline()
            assert line, printed
            printed += line
        origin = re.search(r"http://[^/ ]+", printed.partition("Sign in at")[2])
        assert origin
        try:
            yield origin[0], printed
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()  # else the end of the block would wait for it


def test_the_command_warns_and_prints_the_secret_that_it_made(browser: Browser) -> None:
    with served("--service", SERVICE) as (url, printed):
        assert url.startswith("http://127.0.0.1:")
        assert "without a password" in printed
        secret = re.search(r"Shared secret: (\S+)", printed)
        assert secret
        _status, location, _text = browser.ask(f"{url}/login-token/?user=alice@example.org")
    token = parse_qs(urlsplit(location).query)["jwt"][0]
    assert jwt.decode(token, secret[1], algorithms=["HS256"])["email"] == "alice@example.org"


def test_a_given_key_is_not_printed_and_claims_are_in_every_token(browser: Browser) -> None:
    with served("--key", SECRET, "--service", SERVICE, "--claim", "aud=ours") as (url, printed):
        assert SECRET not in printed
        _status, location, _text = browser.ask(f"{url}/login-token/?user=alice@example.org")
    assert claims_in(location, audience="ours")["aud"] == "ours"


@pytest.mark.parametrize("options", [["--service", "nowhere"], ["--alg", "none"]])
def test_wrong_usage_ends_with_status_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-idp", *options]) == 2
    assert "error:" in capsys.readouterr().err
