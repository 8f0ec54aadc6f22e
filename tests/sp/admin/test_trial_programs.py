"""The test programs on the page of a new key: each one runs with its command, and signs its example person in."""

from __future__ import annotations

import html
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lab.minting import mint
from lab.ports import free_port
from sp.admin.snippets import EXAMPLE_ISSUER
from sp.admin.trial_programs import FIRST_PORT, program_url, trial_programs
from sp.diagnosis.browsing import Browser, Page
from sp.providers.presets import PRESETS
from sp.providers.settings_parser import parse_provider
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, administrator_of, usable_keys
from tests.support.forms import Visitor

NEW = "/settings/sso/jwt/new"
SECOND = "/settings/sso/jwt/provider/second"
HERE = "http://127.0.0.1:5000"
HTTPS = "https://app.example.org"
LANGUAGES = {"Python": "python3", "PHP": "php", "Node": "node", "Ruby": "ruby"}
INSTALLED = [language for language, program in LANGUAGES.items() if shutil.which(program)]
STARTS_IN = 30  # seconds


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def create(carol: Visitor, preset: str = "strict", algorithm: str = "HS256", **more: Any) -> str:
    """Create the provider "second", whose page of the key is open afterwards; return its Identity provider URL."""
    carol.open(f"{NEW}?preset={preset}")
    form = carol.form(NEW).fill(name="second", algorithm=algorithm, **more)
    if preset == "loginradius":
        form.fill(auto_create=["y"])
    assert carol.send(form).status_code == 201
    return form.fields["login_url"]


def download(carol: Visitor, language: str) -> tuple[str, str]:
    """Return the file and the command of the program in this language, as the page of the key offers them."""
    program = next(one for one in trial_programs(parse_provider("second", {})) if one.language == language)
    found = re.search(rf'value="{program.file}">.*?<code[^>]*>([^<]+)</code>', carol.page.text, re.DOTALL)
    assert found
    fields = {**carol.form(f"{SECOND}/key-file").fields, "file": program.file}
    answer = carol.client.post(f"{SECOND}/key-file", data=fields)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{program.file}"'
    return answer.text, html.unescape(found[1])


@contextmanager
def running(code: str, command: str, port: int, folder: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    """Start the program with its command; stop it afterwards. It answers at *port*."""
    arguments = shlex.split(command)
    (folder / arguments[-1]).write_text(code)
    program = sys.executable if arguments[0] == "python3" else arguments[0]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([program, *arguments[1:]], cwd=folder, stdout=log, stderr=log, env=env)
        try:
            wait_for(process, port, folder / "log")
            yield
        finally:
            process.terminate()
            process.wait(10)


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTS_IN
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            ask(port, "/nothing")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def ask(port: int, path: str, host: str = "") -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def local(port: int) -> str:
    return f"http://127.0.0.1:{port}/login-token/"


def press(page: Page) -> tuple[str, str, dict[str, str]]:
    """Return where the button of the program's page leads: method, path, and what it sends."""
    (form,) = page.forms
    assert form.action.startswith(HERE)
    return form.method, form.action.removeprefix(HERE), form.fields


def bring(client: FlaskClient, method: str, path: str, fields: dict[str, str]) -> TestResponse:
    """Do what the button does; return the page at the end."""
    if method == "GET":
        return client.get(path, query_string=fields, follow_redirects=True)
    return client.post(path, data=fields, follow_redirects=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_tried(language: str) -> None:
    if language not in INSTALLED:
        pytest.skip(f"{LANGUAGES[language]} is not installed; tools/system-packages installs it")


@pytest.mark.parametrize("language", INSTALLED)
@pytest.mark.parametrize(
    ("preset", "algorithm"),
    [*((preset, "HS256") for preset in PRESETS), ("strict", "HS512"), ("strict", "RS256"), ("ispring", "ES512")],
)
def test_a_test_with_the_program_ends_on_a_good_report_and_so_does_a_sign_in(
    app: Flask, carol: Visitor, tmp_path: Path, language: str, preset: str, algorithm: str
) -> None:
    port = free_port()
    create(carol, preset, algorithm, login_url=local(port))
    code, command = download(carol, language)
    with running(code, command, port, tmp_path):
        asked = carol.client.get(f"{SECOND}/try").location
        assert asked.startswith(local(port))
        method, path, fields = press(Browser().open(asked))
        assert method == ("POST" if preset == "zendesk" else "GET")
        report = bring(carol.client, method, path, fields)
        assert "This sign-in would succeed." in report.text, report.text
        assert 'class="check-failed"' not in report.text
        person = app.test_client()
        method, path, fields = press(Browser().open(person.get("/sso/start/second").location))
        assert bring(person, method, path, fields).status_code in (200, 404), (
            "the page after sign-in is the application's"
        )
        assert person.get("/account").status_code == 200


@pytest.mark.parametrize("language", INSTALLED)
def test_attack_a_program_answers_only_under_its_own_url_and_nothing_keeps_its_page(
    carol: Visitor, tmp_path: Path, language: str
) -> None:
    """A site whose name suddenly leads to 127.0.0.1 must not read a token (DNS rebinding)."""
    port = free_port()
    create(carol, login_url=local(port))
    code, command = download(carol, language)
    with running(code, command, port, tmp_path):
        assert ask(port, "/login-token/", host=f"evil.example:{port}")[0] == 404
        assert ask(port, "/elsewhere")[0] == 404
        for odd in ("?nonce=%ff%00", "?nonce[]=a&nonce=", "?%", "?nonce=%22%3E%3Cb%3E"):
            assert "<b>" not in ask(port, f"/login-token/{odd}")[1]
        status, text, headers = ask(port, "/login-token/?nonce=n1")
        assert (status, headers["cache-control"]) == (200, "no-store")
        assert (headers["referrer-policy"], headers["content-security-policy"]) == (
            "no-referrer",
            "frame-ancestors 'none'",
        )
        assert "there is no password" in text


def test_attack_settings_that_look_like_code_stay_text_in_the_program(carol: Visitor, tmp_path: Path) -> None:
    odd = "'; exit(3); # \" #{exit 3} ${process.exit(3)} {$x} \\ `id` {{ 7 }} </pre> ?> @TOKEN@"
    port = free_port()
    path = "/a'$(id)`id`{$x}@TOKEN@"
    carol.open(f"{NEW}?preset=strict")
    form = carol.form(NEW).fill(name="second", login_url=f"http://127.0.0.1:{port}{path}", issuer__expected=odd)
    assert carol.send(form).status_code == 201, carol.text
    for language in INSTALLED:
        code, command = download(carol, language)
        with running(code, command, port, tmp_path):
            assert ask(port, "/")[0] == 404
            assert "Sign in as Alice Example" in ask(port, path)[1], language


def test_a_program_is_given_only_for_a_key_of_the_provider_and_to_an_administrator(app: Flask, carol: Visitor) -> None:
    create(carol)
    fields = {**carol.form(f"{SECOND}/key-file").fields, "file": "second-test.py"}
    (key,) = usable_keys(app, "second")
    assert fields["key"] == key
    for wrong in ("", "another secret of a good length for HS256", f"{key}x"):
        answer = carol.client.post(f"{SECOND}/key-file", data={**fields, "key": wrong})
        assert (answer.status_code, answer.location) == (303, f"{SECOND}#key-list")
    for unknown in ("", "../x", 'x"\r\nSet-Cookie: a=b', "second-key.pem", "corporate-key.txt"):
        assert carol.client.post(f"{SECOND}/key-file", data={**fields, "file": unknown}).status_code == 404
    assert carol.client.post(f"{SECOND}/key-file", data={**fields, "csrf_token": ""}).status_code == 400
    assert carol.client.get(f"{SECOND}/key-file").status_code == 405
    stranger = app.test_client().post(f"{SECOND}/key-file", data=fields)
    assert (stranger.status_code, "/login" in stranger.location) == (303, True)
    good = carol.client.post(f"{SECOND}/key-file", data=fields)
    assert good.headers["Cache-Control"] == "no-store"
    assert key in good.text


def test_the_key_is_in_no_url_of_the_programs(app: Flask, carol: Visitor) -> None:
    create(carol)
    (key,) = usable_keys(app, "second")
    assert "data:" not in carol.page.text, "browsers keep the URLs of downloads"
    urls = re.findall(r'(?:href|action|formaction|src)="([^"]*)"', carol.page.text)
    assert not any(key in url for url in urls)
    assert "because its file contains the key, and it asks for no password" in carol.text


# Where the program answers


@pytest.mark.parametrize(
    ("login_url", "url"),
    [
        ("", f"http://127.0.0.1:{FIRST_PORT}/login-token/"),
        ("https://login.example.org/login-token/", f"http://127.0.0.1:{FIRST_PORT}/login-token/"),
        ("http://127.0.0.1/login", f"http://127.0.0.1:{FIRST_PORT}/login-token/"),
        ("https://127.0.0.1:8443/login", f"http://127.0.0.1:{FIRST_PORT}/login-token/"),
        ("http://[::1]:8000/login", f"http://127.0.0.1:{FIRST_PORT}/login-token/"),
        ("http://localhost:8000/login?service=x", "http://localhost:8000/login?service=x"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/"),
    ],
)
def test_the_program_answers_at_the_identity_provider_url_if_that_is_on_this_machine(login_url: str, url: str) -> None:
    assert program_url(parse_provider("second", {"login_url": login_url})) == url


def test_on_its_own_machine_the_form_is_filled_in_with_a_free_url_of_a_test_program(carol: Visitor) -> None:
    for number in (0, 1):
        carol.open(f"{NEW}?preset=strict")
        assert carol.form(NEW).fields["login_url"] == local(FIRST_PORT + number)
        assert "Keep this URL: the next page has a test program for it." in carol.text
        carol.send(carol.form(NEW))


def test_elsewhere_the_url_begins_empty_and_the_test_with_the_program_works_all_the_same(
    gateway: MakeGateway,
) -> None:
    app = gateway({"corporate": CORPORATE}, SP_EXTERNAL_URL=HTTPS)
    carol = administrator_of(app)
    carol.client.environ_base["wsgi.url_scheme"] = "https"
    carol.open(f"{NEW}?preset=strict")
    assert carol.form(NEW).fields["login_url"] == ""
    assert "Leave this empty: the next page has a test program." in carol.text
    carol.send(carol.form(NEW).fill(name="second"))
    assert f'href="{SECOND}/try"' not in carol.page.text
    asked = carol.client.get(f"{SECOND}/try?with=program").location
    assert asked.startswith(f"{local(FIRST_PORT)}?")
    sent = parse_qs(urlsplit(asked).query)
    assert set(sent) == {"return_to", "nonce"}
    now = int(time.time())
    claims = {"iat": now, "nbf": now, "exp": now + 60, "jti": "1", "sub": "17", "email": "alice@example.com"}
    claims |= {"iss": EXAMPLE_ISSUER, "aud": HTTPS, "nonce": sent["nonce"][0]}
    (key,) = usable_keys(app, "second")
    posted = carol.client.post("/sso/login/jwt/second", data={"jwt": mint(claims, key)})
    report = carol.client.get(posted.location).text
    assert "This sign-in would succeed." in report
    assert "Enter the Identity provider URL" in report
    assert f'href="{SECOND}/try?with=program"' in report
