"""`flask --app sp doctor`: what it prints, and with which status it ends."""

import json
from pathlib import Path

import pytest

from lab.server import ServerThread
from tests.doctor.proxies import Behind
from tests.support.gateway import make_gateway


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
