"""`lab check-sp` and `lab check-idp`: what they find, and the reports that a CI reads."""

import io
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from flask import Flask, make_response, request
from werkzeug.wrappers import Response

from lab.__main__ import main
from lab.cast import ALICE
from lab.checks.service_provider import SPELLINGS, leads_elsewhere
from lab.cli.findings import junit
from lab.fake_idp import FakeIdp, fake_idp
from lab.forging import key_for
from lab.ports import free_port
from lab.scripted_server import ScriptedServer, answer, scripted_server
from lab.server import ServerThread
from sp.diagnosis.inspector import Finding
from tests.lab.services import with_pyjwt
from tests.support.gateway import make_gateway

SECRET = "a secret of the tests, long enough for SHA-256"
SERVICE = "http://127.0.0.1:9/sso/jwt"
FEW = ["--only", "wrong-key", "--only", "expired", "--only", "claims-doubled", "--only", "alg-confusion"]
Printed = pytest.CaptureFixture[str]
Outcomes = dict[str, str]


def check_sp(capsys: Printed, url: str, *options: str) -> tuple[int, Outcomes]:
    status = main(["check-sp", url, "--key", SECRET, "--json", *options])
    shown = json.loads(capsys.readouterr().out)
    return status, {finding["check"]: finding["outcome"] for finding in shown["findings"]}


def rude(**manners: bool) -> Flask:
    """A service that verifies well, and treats a good token badly in the ways that are switched on."""
    app = with_pyjwt.service(SECRET)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=not manners.get("scripts_read_cookies"))

    @app.after_request
    def change(response: Response) -> Response:
        response.headers["Cache-Control"] = "private" if manners.get("is_cached") else "no-store"
        token = request.args.get("jwt", "")
        if response.status_code == 302 and request.path == "/jwt":
            if manners.get("carries_on"):
                response.headers["Location"] = f"/?jwt={token}"
            if manners.get("follows_return_to"):
                response.headers["Location"] = request.args.get("return_to", "/").replace("\t", "")
            if manners.get("stays"):
                return make_response("Welcome", 200, {**response.headers, "Location": "", "Content-Length": "7"})
        if response.status_code == 401 and manners.get("reflects"):
            response.set_data(f"bad token: {token}")
        return response

    return app


@pytest.mark.parametrize(
    ("manner", "check", "outcome"),
    [
        ("is_cached", "no_store", "advice"),
        ("carries_on", "clean_url", "failed"),
        ("stays", "clean_url", "advice"),
        ("follows_return_to", "return_to", "failed"),
        ("reflects", "reflected", "failed"),
        ("scripts_read_cookies", "cookie_flags", "advice"),
    ],
)
def test_one_bad_manner_is_found_and_no_other(manner: str, check: str, outcome: str, capsys: Printed) -> None:
    with ServerThread(rude(**{manner: True})) as server:
        status, found = check_sp(capsys, f"{server.url}/jwt", "--only", "wrong-key")
    assert found.pop(check) == outcome
    assert status == (1 if outcome == "failed" else 0)
    assert found.pop("head") == "advice"  # Flask answers HEAD by the view for GET
    assert set(found.values()) == {"passed"}


def test_a_token_that_head_spends_is_advice(capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET)) as server:
        assert check_sp(capsys, f"{server.url}/jwt", *FEW)[1]["head"] == "advice"


def test_faults_are_failures_advice_or_skipped(capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET, with_pyjwt.accepts_expired)) as server:
        status, found = check_sp(capsys, f"{server.url}/jwt", *FEW)
        assert status == 1
        assert found["fault_expired"] == "failed"
        assert found["fault_wrong_key"] == "passed"
        assert found["fault_claims_doubled"] == "advice"
        assert found["fault_alg_confusion"] == "skipped"
        assert check_sp(capsys, f"{server.url}/jwt", *FEW, "--strict")[1]["fault_claims_doubled"] == "failed"


def test_our_own_gateway_gets_an_a(tmp_path: Path, capsys: Printed) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "preset": "strict",
        "keys": [SECRET],
        "login_url": "https://login.example.org/",
        "issuer": "https://idp.example.com",
        "audience": url,
        "default": True,
    }
    app = make_gateway(tmp_path, {"corporate": settings}, SP_EXTERNAL_URL=url)
    claims = ["--claim", "iss=https://idp.example.com", "--claim", f"aud={url}"]
    with ServerThread(app, port):
        options = ["--start", f"{url}/sso/start?return_to=/account", *claims]
        assert main(["check-sp", f"{url}/sso/login/jwt", "--key", SECRET, *options]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"check-sp {url}/sso/login/jwt: A - ")


def test_without_an_accepted_good_token_nothing_else_is_said(tmp_path: Path, capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service("another secret of the tests, long enough")) as server:
        status, found = check_sp(capsys, f"{server.url}/jwt", "--junit", str(tmp_path / "found.xml"))
    assert (status, found) == (2, {"control": "failed"})
    assert parsed((tmp_path / "found.xml").read_bytes()).find(".//failure") is not None


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_browser_would_go_there(spelling: str) -> None:
    if not spelling.startswith("/%2f"):  # which is one only after a service has decoded it
        assert leads_elsewhere(spelling, "http://127.0.0.1:8000/jwt")


@pytest.mark.parametrize("location", ["/", "/?return_to=https://mallory.example/", "/https://mallory.example/", "x"])
def test_a_browser_would_stay(location: str) -> None:
    assert not leads_elsewhere(location, "http://127.0.0.1:8000/jwt")


# --- Reports ---


def parsed(report: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(report)  # noqa: S314  our own report


def test_junit_has_a_case_for_each_finding(tmp_path: Path, capsys: Printed) -> None:
    file, badge = tmp_path / "found.xml", tmp_path / "badge.json"
    with ServerThread(with_pyjwt.service(SECRET, with_pyjwt.accepts_expired)) as server:
        arguments = [
            "check-sp",
            f"{server.url}/jwt",
            "--key",
            SECRET,
            *FEW,
            "--junit",
            str(file),
            "--badge",
            str(badge),
        ]
        assert main(arguments) == 1
    suite = parsed(file.read_bytes()).find("testsuite")
    assert suite is not None
    cases = {case.get("name"): case for case in suite.findall("testcase")}
    assert (suite.get("failures"), suite.get("skipped"), suite.get("tests")) == ("1", "1", str(len(cases)))
    failure = cases["fault_expired"].find("failure")
    assert failure is not None
    assert "exp is two hours ago" in str(failure.get("message"))
    assert cases["fault_alg_confusion"].find("skipped") is not None
    assert cases["fault_claims_doubled"].find("system-out") is not None
    assert len(cases["fault_wrong_key"]) == 0
    assert json.loads(badge.read_text())["message"].startswith("F: ")
    assert json.loads(badge.read_text())["color"] == "red"
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"check-sp \S+: F - \d+ passed, 1 failed, \d+ advice, 1 skipped", last)


def test_junit_is_xml_whatever_a_server_said() -> None:
    finding = Finding("check", "failed", "a\x00b\x1b\ud800 <&>", "\ufffe")
    message = parsed(junit([finding], "check-sp", "http://x/?a=1&b=\x08")).find(".//failure")
    assert message is not None
    assert message.get("message") == "a\ufffdb\ufffd\ufffd <&>"


def test_a_report_that_cannot_be_written_is_wrong_usage(tmp_path: Path, capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET)) as server:
        arguments = ["check-sp", f"{server.url}/jwt", "--key", SECRET, *FEW]
        assert main([*arguments, "--junit", str(tmp_path / "no" / "folder.xml")]) == 2
    assert "No such file" in capsys.readouterr().err


# --- Identity providers ---


@pytest.fixture
def running() -> Iterator[tuple[FakeIdp, ScriptedServer]]:
    with fake_idp(SERVICE, SECRET) as both:
        yield both


def check_idp(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed, url: str, *options: str, password: str = ALICE.password
) -> tuple[int, Outcomes]:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    person = ["--email", ALICE.email, "--password-stdin", "--service", SERVICE]
    status = main(["check-idp", url, *person, "--json", *(options or ["--key", SECRET])])
    shown = json.loads(capsys.readouterr().out)
    return status, {finding["check"]: finding["outcome"] for finding in shown["findings"]}


def test_a_good_identity_provider_passes(
    running: tuple[FakeIdp, ScriptedServer], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    status, found = check_idp(monkeypatch, capsys, running[1].url)
    assert status == 0
    assert "failed" not in found.values()
    assert found["token_signature"] == "passed"
    assert found["target"] == "passed"


def test_a_bad_habit_of_an_identity_provider_is_found(
    running: tuple[FakeIdp, ScriptedServer], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    running[0].believes_anything = True
    status, found = check_idp(monkeypatch, capsys, running[1].url)
    assert (status, found["wrong_password"]) == (1, "failed")


def test_another_key_is_found(
    running: tuple[FakeIdp, ScriptedServer], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    status, found = check_idp(monkeypatch, capsys, running[1].url, "--key", "another")
    assert (status, found["token_signature"]) == (1, "failed")


def test_published_keys_verify(
    running: tuple[FakeIdp, ScriptedServer], monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    published = json.dumps({"keys": [key_for("ES256").jwk()]})
    with scripted_server(answer(published)) as keys:
        _status, found = check_idp(monkeypatch, capsys, running[1].url, "--jwks", keys.url, "--alg", "ES256")
    assert (found["sign_in"], found["token_algorithm"]) == ("passed", "failed")  # it signs with HS256


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--key", SECRET, "--jwks", "http://127.0.0.1:9/"],
        ["--jwks", "http://127.0.0.1:9/"],
        ["--key", "file:/not/there"],
        ["--key", SECRET, "--parameter", "return_to"],
    ],
)
def test_wrong_usage_ends_with_status_2(options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    person = ["--email", ALICE.email, "--password-stdin", "--service", SERVICE]
    assert main(["check-idp", "http://127.0.0.1:9/", *person, *options]) == 2
    assert "error:" in capsys.readouterr().err


# --- The example workflow ---


def test_the_commands_of_the_example_workflow_work(
    running: tuple[FakeIdp, ScriptedServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Printed
) -> None:
    text = (Path(__file__).parents[2] / "examples" / "ci" / "single-sign-on.yml").read_text()
    lines = re.findall(r"run: (?:echo \"(\$\w+)\" \| )?lychgate lab (.+)", text)
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    with ServerThread(with_pyjwt.service(SECRET)) as server:
        values = {"SSO_KEY": SECRET, "SERVICE_URL": f"{server.url}/jwt", "LOGIN_URL": running[1].url}
        running[0].return_url = values["SERVICE_URL"]
        values |= {"TEST_PERSON": ALICE.email, "TEST_PASSWORD": ALICE.password}
        for name, value in values.items():
            assert f"{name}: " in text
            monkeypatch.setenv(name, value)
        for typed, line in lines:
            monkeypatch.setattr("sys.stdin", io.StringIO(os.path.expandvars(typed)))
            assert main([os.path.expandvars(word) for word in shlex.split(line)]) == 0, capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"check-sp.xml", "check-idp.xml", "badge.json"}
