"""The page of a new key: copy, download, code. Each sign-in page on it runs, and the gateway accepts its token."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from lab.ports import free_port
from sp.admin.snippets import example_person, snippets
from sp.providers.presets import PRESETS
from sp.providers.settings_parser import parse_provider
from tests.sp.admin.test_trial_programs import ask, running
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, PAGE, administrator_of, usable_keys
from tests.support.forms import Visitor
from tests.support.gateway import core_of

NEW = "/settings/sso/jwt/new"
RUNS = {"PHP": ("php", "php"), "Python": (sys.executable, "py"), "Node": ("node", "mjs"), "Ruby": ("ruby", "rb")}
INSTALLED = [language for language, (program, _ending) in RUNS.items() if shutil.which(program)]
DRIVERS = {
    "Python": """
import sys
import sign_in
answer = sign_in.app.test_client().get("/login-token/", query_string={"nonce": sys.argv[1]})
print(answer.location or answer.text)
""",
    "Node": """
import http from "node:http";
import { signIn } from "./sign_in.mjs";
const server = http.createServer(signIn).listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}/login-token/?nonce=${process.argv[2]}`;
  const answer = await fetch(url, { redirect: "manual" });
  console.log(answer.headers.get("location") ?? (await answer.text()));
  process.exit();
});
""",
    "Ruby": """
require './sign_in'
_status, headers, body = SIGN_IN.call({ 'PATH_INFO' => '/login-token/', 'QUERY_STRING' => "nonce=#{ARGV[0]}" })
puts headers['location'] || body.join
""",
}
NOT_SIGNED_IN = {  # the line where the code returns the person, and a line that returns none
    "Python": ('site, or None."""\n', "    return None\n"),
    "Node": ("function signedInPerson(request) {\n", "return null;\n"),
    "PHP": ("?array\n{\n", "return null;\n"),
    "Ruby": ("def signed_in_person(_env)\n", "return nil\n"),
}
HTTP_PAGE = "http://127.0.0.1:5000"


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway({"corporate": CORPORATE})


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def create(carol: Visitor, preset: str = "ispring", algorithm: str = "HS256") -> None:
    """Create the provider "second", whose key is generated; the page of the key is open afterwards."""
    carol.open(f"{NEW}?preset={preset}")
    form = carol.form(NEW).fill(name="second", algorithm=algorithm, login_url="http://127.0.0.1:1/login-token/")
    if preset == "loginradius":
        form.fill(auto_create=["y"])
    assert carol.send(form).status_code == 201


def code_of(page: str, language: str) -> str:
    found = re.search(rf'<pre[^>]*aria-label="{language} code"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def run(language: str, code: str, folder: Path, key: str = "x" * 64, nonce: str = "") -> str:
    """Ask the sign-in page for a token; return where it redirects to, or the form that it shows."""
    program, ending = RUNS[language]
    environment = {**os.environ, "SSO_KEY": key, "PYTHONDONTWRITEBYTECODE": "1"}
    if language == "PHP":
        port = free_port()
        with running(code, f"php -S 127.0.0.1:{port} sign_in.php", port, folder, environment):
            _status, text, headers = ask(port, f"/login-token/?nonce={nonce}")
        return headers.get("location") or text
    (folder / f"sign_in.{ending}").write_text(code)
    driver = folder / f"driver.{ending}"
    driver.write_text(DRIVERS[language])
    done = subprocess.run(
        [program, driver, nonce], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize("language", RUNS)
def test_each_language_is_tried(language: str) -> None:
    if language not in INSTALLED:
        pytest.skip(f"{RUNS[language][0]} is not installed; tools/system-packages installs it")


@pytest.mark.parametrize(
    ("preset", "algorithm"),
    [*((preset, "HS256") for preset in PRESETS), ("ispring", "HS512"), ("ispring", "RS256"), ("strict", "ES512")],
)
def test_each_program_signs_a_person_in(
    app: Flask, carol: Visitor, tmp_path: Path, preset: str, algorithm: str
) -> None:
    create(carol, preset, algorithm)
    page, key = carol.page.text, carol.form("/settings/sso/jwt/provider/second/key-file").fields["key"]
    for language in INSTALLED:
        browser = app.test_client()
        login_url = browser.get("/sso/start/second").location
        nonce = parse_qs(urlsplit(login_url).query)["nonce"][0]
        printed = run(language, code_of(page, language), tmp_path, key, nonce)
        if preset == "zendesk":
            action, token = re.search(r'action="([^"]+)".*value="([^"]+)"', printed, re.DOTALL).groups()  # type: ignore[union-attr]
            answer = browser.post(action.removeprefix(HTTP_PAGE), data={"jwt": token})
        else:
            answer = browser.get(printed.strip().removeprefix(HTTP_PAGE))
        assert (answer.status_code, "error" in answer.location) == (303, False), f"{language}: {answer.location}"
        assert browser.get("/account").status_code == 200, language
    assert core_of(app).people.find("alice@example.com") is not None


def test_an_issuer_and_an_audience_that_no_setting_names_are_the_urls_of_both_sides() -> None:
    login = {"login_url": "https://people.example.org/login?x=1"}
    claims = example_person(
        parse_provider("second", {"preset": "strict", **login}), f"{HTTP_PAGE}/sso/login/jwt/second"
    )
    assert (claims["iss"], claims["aud"]) == ("https://people.example.org", HTTP_PAGE)
    named = {"issuer": "urn:people", "audience": "urn:us", **login}
    claims = example_person(
        parse_provider("second", {"preset": "strict", **named}), f"{HTTP_PAGE}/sso/login/jwt/second"
    )
    assert (claims["iss"], claims["aud"]) == ("urn:people", "urn:us")


def test_attack_settings_that_look_like_code_stay_text_in_the_program(app: Flask, tmp_path: Path) -> None:
    """An issuer or a claim name is any text; in a program that somebody will run it must be no more than that."""
    odd = "'; exit(3); # \" #{exit 3} ${process.exit(3)} {$x} \\ `id` {{ 7 }} </pre>"
    claim = 'it\'s-"#{exit}"-\\'
    provider = parse_provider("odd", {"issuer": odd, "mapping": {"given_name": claim}})
    with app.test_request_context():
        made = {one.language: one.code for one in snippets(provider, f"{HTTP_PAGE}/sso/login/jwt/odd")}
    for language in INSTALLED:
        token = run(language, made[language], tmp_path).strip().partition("?jwt=")[2]
        payload = token.split(".")[1]
        claims = json.loads(b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_"))
        assert (claims["iss"], claims[claim]) == (odd, "Alice"), language


def test_the_key_can_be_copied_and_downloaded_without_scripts(app: Flask, carol: Visitor) -> None:
    create(carol)
    (key,) = usable_keys(app, "second")
    form = carol.form("/settings/sso/jwt/provider/second/key-file")
    assert ' form="key-files" name="file" value="second-key.txt">' in carol.page.text
    answer = carol.client.post(form.action, data={**form.fields, "file": "second-key.txt"})
    assert (answer.text, answer.headers["Content-Disposition"]) == (key, 'attachment; filename="second-key.txt"')
    for id in ("key", "key-return-url", "code-1"):
        assert re.search(rf'<button[^>]*data-copy="{id}" hidden>', carol.page.text)
        assert f'id="{id}"' in carol.page.text


def test_a_private_key_can_be_downloaded_as_well(app: Flask, carol: Visitor) -> None:
    create(carol, algorithm="ES256")
    form = carol.form("/settings/sso/jwt/provider/second/key-file")
    sent = {**form.fields, "file": "second-key.pem", "key": form.fields["key"].replace("\n", "\r\n")}  # as browsers do
    assert carol.client.post(form.action, data=sent).text == form.fields["key"]


def test_the_page_of_a_key_is_never_stored(carol: Visitor) -> None:
    create(carol)
    assert "no-store" in carol.page.headers["Cache-Control"]
    assert carol.page.headers["Referrer-Policy"] == "no-referrer"


def test_the_page_of_a_key_leads_on_to_a_test(carol: Visitor) -> None:
    create(carol)
    assert 'href="/settings/sso/jwt/provider/second/try"' in carol.page.text
    assert "http://127.0.0.1:5000/sso/login/jwt/second" in carol.page.text


def test_a_rotated_key_comes_with_the_same_page(app: Flask, carol: Visitor) -> None:
    carol.open(PAGE)
    carol.send(carol.form(f"{PAGE}/keys"), "generate")
    assert usable_keys(app)[1] in carol.page.text
    assert "accepts tokens signed with this key and with the earlier keys" in carol.text


def test_the_code_is_on_the_page_of_the_provider_too_and_has_no_key(app: Flask, carol: Visitor) -> None:
    create(carol)
    (key,) = usable_keys(app, "second")
    shown = {language: code_of(carol.page.text, language) for language in RUNS}
    carol.open("/settings/sso/jwt/provider/second")
    for language, code in shown.items():
        assert code_of(carol.page.text, language) == code
        assert key not in code
        assert "SSO_KEY" in code
        assert "second-key.txt" in code


@pytest.mark.parametrize("language", INSTALLED)
def test_the_nonce_survives_the_login_of_the_site(carol: Visitor, tmp_path: Path, language: str) -> None:
    create(carol, "strict")
    before, here, after = code_of(carol.page.text, language).partition(NOT_SIGNED_IN[language][0])
    assert here
    location = run(language, f"{before}{here}{NOT_SIGNED_IN[language][1]}{after}", tmp_path, nonce="n0nce")
    path, _, query = location.partition("?")
    assert path.endswith("/your-login")
    assert parse_qs(query)["next"] == ["/login-token/?nonce=n0nce"]


def test_issuer_and_audience_stand_outside_of_what_is_replaced_and_groups_are_shown(carol: Visitor) -> None:
    create(carol, "strict")
    code = code_of(carol.page.text, "Python")
    person = code.partition("def signed_in_person")[2].partition("@app.get")[0]
    assert 'FIXED = {"iss": "http://127.0.0.1:1", "aud": "http://127.0.0.1:5000"}' in code
    assert '"iss"' not in person
    assert '# "groups": ["staff"],' in person
