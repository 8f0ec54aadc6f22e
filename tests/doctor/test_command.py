"""`flask --app sp doctor`: what it prints, and with which status it ends."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab.pair import table
from lab.ports import free_port
from lab.server import ServerThread
from sp.cli.doctor import chain_of
from sp.diagnosis.doctor.examination import examine
from sp.gateway import Gateway
from sp.sample_app import create_welcome_app
from tests.doctor.proxies import Behind
from tests.support.gateway import core_of, make_gateway


def test_a_good_chain_is_status_0_and_a_finding_status_1(tmp_path: Path) -> None:
    with Behind(tmp_path, trusted="").running() as behind:
        run = behind.own.test_cli_runner()
        good = run.invoke(args=["doctor", behind.gateway.url])
        report = json.loads(run.invoke(args=["doctor", behind.gateway.url, "--json"]).stdout)
        bad = run.invoke(args=["doctor", "http://127.0.0.1:9/"])
    assert good.exit_code == 0, good.output
    assert "passed   identity_headers" in good.stdout
    assert (report["url"], report["passed"]) == (behind.gateway.url, True)
    assert bad.exit_code == 1
    assert "FAILED   own_paths" in bad.stdout
    assert "->" in bad.stdout


def test_it_asks_the_application_too(tmp_path: Path) -> None:
    def trusting(environ, start_response):  # type: ignore[no-untyped-def]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"You are {environ.get('HTTP_REMOTE_USER', 'a stranger')}".encode()]

    with Behind(tmp_path, trusted="").running() as behind, ServerThread(trusting) as application:
        run = behind.own.test_cli_runner()
        done = run.invoke(args=["doctor", behind.gateway.url, "--app", f"{application.url}/profile", "--json"])
    assert done.exit_code == 1
    failed = [finding["check"] for finding in json.loads(done.stdout)["findings"] if finding["outcome"] == "failed"]
    assert failed == ["app_plain_headers"]


@pytest.mark.parametrize(
    "args", [["doctor"], ["doctor", "app.example.org"], ["doctor", "http://a.example", "--app", "x"]]
)
def test_wrong_usage_is_status_2(args: list[str], tmp_path: Path) -> None:
    assert make_gateway(tmp_path).test_cli_runner().invoke(args=args).exit_code == 2


def test_each_site_is_examined_by_its_own_rules_and_url(tmp_path: Path) -> None:
    port = free_port()
    home, wiki = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    file = tmp_path / "sites.toml"
    file.write_text(
        table("[rules]", {"path": "/", "allow": "anyone", "everything": True})
        + table("sites.wiki", {"url": wiki})
        + table("[sites.wiki.rules]", {"path": "/static/", "allow": "anyone"})
    )
    own = make_gateway(tmp_path, SP_EXTERNAL_URL=home, SP_CONFIG=str(file))
    core = core_of(own)
    with ServerThread(Gateway(create_welcome_app(core), own), port):
        found = {url: examine(chain_of(urlsplit(url), core)) for url in (home, wiki)}
    for url, outcome in ((home, "skipped"), (wiki, "passed")):
        assert [f.explanation for f in found[url] if f.outcome in ("failed", "advice")] == []
        assert next(f.outcome for f in found[url] if f.check == "sign_in") == outcome
    assert chain_of(urlsplit(wiki), core).session_cookie == "sp_session"


def test_the_assertions_for_a_sites_application_are_for_its_host(tmp_path: Path) -> None:
    audiences = set()

    def noting(environ, start_response):  # type: ignore[no-untyped-def]
        if assertion := environ.get("HTTP_X_LYCHGATE_ASSERTION"):
            audiences.add(json.loads(urlsafe_b64decode(assertion.split(".")[1] + "=="))["aud"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"doctor@lychgate.invalid" if assertion else b"a stranger"]

    file = tmp_path / "sites.toml"
    file.write_text(table("sites.wiki", {"url": "http://localhost:9"}))
    own = make_gateway(tmp_path, SP_CONFIG=str(file))
    with ServerThread(noting) as application:
        own.test_cli_runner().invoke(args=["doctor", "http://localhost:9", "--app", application.url])
    assert audiences == {"localhost:9", "other.lychgate.invalid"}
