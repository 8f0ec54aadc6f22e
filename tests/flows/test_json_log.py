"""With SP_LOG=json or IDP_LOG=json, everything that a program writes is one JSON object a line."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from lab.ports import free_port
from lab.programs import RunningProgram

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(program: RunningProgram) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.log.splitlines()]


@pytest.mark.parametrize(("program", "trusted"), [("sp", True), ("idp", False)])
def test_every_line_is_an_object_from_the_first_to_the_last(program: str, trusted: bool, tmp_path: Path) -> None:
    name = program.upper()
    settings = {f"{name}_INSTANCE": str(tmp_path), f"{name}_LOG": "json"}
    settings |= {f"{name}_TRUSTED_PROXIES": "127.0.0.1"} if trusted else {}
    with RunningProgram(f"run_{program}.py", free_port(), tmp_path, settings) as running:
        path = "/no/such page" + quote('\n{"event": "forged"}')
        answer = httpx.get(running.url + path, headers={"X-Request-Id": ID}, trust_env=False, timeout=30)
        running.wait_for_log("/no/such page")
    requests = [line for line in lines(running) if line["event"] == "request" and "/no/such page" in line["path"]]
    (request,) = requests
    assert request["request_id"] == answer.headers["X-Request-Id"]
    assert (request["request_id"] == ID) is trusted
    assert (request["method"], request["status"]) == ("GET", answer.status_code)
    assert next(line for line in lines(running) if line["event"] == "start")["message"].startswith("Lychgate")
    assert {"time", "level", "logger", "message", "event", "reference", "code", "request_id"} <= request.keys()


def test_a_rejected_token_has_its_reference_and_code_in_the_line(tmp_path: Path) -> None:
    with RunningProgram(
        "run_sp.py", free_port(), tmp_path, {"SP_INSTANCE": str(tmp_path), "SP_LOG": "json"}
    ) as running:
        answer = httpx.post(
            f"{running.url}/sso/login/jwt",
            data={"jwt": "a.b.c"},
            headers={"Accept": "application/json"},
            trust_env=False,
            timeout=30,
        )
        running.wait_for_log('"refused"')
    (line,) = [line for line in lines(running) if line["event"] == "refused"]
    assert (line["code"], line["reference"]) == (answer.json()["error"], answer.json()["reference"])
    assert line["request_id"] == answer.headers["X-Request-Id"]


def test_another_format_stops_the_start(tmp_path: Path) -> None:
    settings = {"SP_INSTANCE": str(tmp_path), "SP_LOG": "xml"}
    running = RunningProgram("run_sp.py", free_port(), tmp_path, settings).start(wait=False)
    assert running.wait() == 2
    assert "SP_LOG must be one of: text, json" in running.log


def test_a_request_that_the_event_loop_answers_has_the_same_line(tmp_path: Path) -> None:
    settings = {"SP_INSTANCE": str(tmp_path), "SP_LOG": "json", "SP_TRUSTED_PROXIES": "127.0.0.1"}
    asked = [("X-Original-Method", "GET"), ("X-Original-URL", "/page?jwt=unseen-token"), ("X-Request-Id", ID)]
    twice = [("X-A", "1"), ("X-A", "2")]  # for gunicorn's parser, and so for a thread
    with RunningProgram("run_sp.py", free_port(), tmp_path, settings) as running:
        for more in ([], twice):
            answer = httpx.get(f"{running.url}/sso/auth/nginx", headers=[*asked, *more], trust_env=False, timeout=30)
            assert answer.status_code == 401
        httpx.get(f"{running.url}/sso/auth/end", trust_env=False, timeout=30)
        running.wait_for_log('"path": "/sso/auth/end"')  # the program ends after this, and has then written the others
    found = [line for line in lines(running) if line.get("path") == "/sso/auth/nginx"]
    here, there = ({**line, "time": "", "milliseconds": 0, "message": ""} for line in found)
    assert here == there
    assert list(found[0]) == list(found[1])
    assert found[0]["message"].startswith('127.0.0.1 "GET /sso/auth/nginx" 401 14 bytes')
    assert "unseen-token" not in running.log
