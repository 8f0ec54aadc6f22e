"""docs/guides/emulators.md: its commands are run as they are written, and its table says what the code says."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.service_provider import PRODUCTS
from tests.docs.documents import ROOT, commands, text_of

GUIDE = "docs/guides/emulators.md"
SECRET = "a secret of the guide, long enough for SHA-256"


def test_the_commands_do_what_the_guide_says(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine; tools/system-packages installs it")
    serve, about, deliver, last, reset = (line for document, line in commands() if document == GUIDE)
    port = free_port()
    service = subprocess.Popen(
        [*shell(f"exec {serve} --port {port} --json-log {tmp_path}/log", port)],
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stderr is not None
        assert "emulator of Zendesk" in service.stderr.readline()
        assert f":{port}/access/jwt" in service.stderr.readline()
        assert json.loads(run(about, port))["token_url"] == f"http://127.0.0.1:{port}/access/jwt"
        run(deliver, port)
        attempt = json.loads(run(last, port))
        assert (attempt["accepted"], attempt["rule"]) == (True, ""), attempt
        assert run(reset, port) == ""
        assert json.loads(run(last, port)) is None
    finally:
        service.send_signal(signal.SIGINT)
        service.communicate(timeout=20)


def run(line: str, port: int) -> str:
    done = subprocess.run(shell(line, port), env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shell(line: str, port: int) -> list[str]:
    """Return the command that runs a line of the guide on another port, with this Python."""
    python = line.replace("python -m", f"{sys.executable} -m")
    return ["bash", "-c", python.replace("127.0.0.1:5002", f"127.0.0.1:{port}")]


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "ZENDESK_KEY": SECRET}


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_table_names_every_rule_of_the_product_and_no_other(name: str) -> None:
    product = PRODUCTS[name]
    row = re.search(rf"^\| {re.escape(product.title)} \|(.*?)\|(.*?)\|", text_of(ROOT / GUIDE), re.MULTILINE)
    assert row, product.title
    assert re.findall(r"`([^`]+)`", row[2]) == [rule.name for rule in product.rules]
    takes = re.findall(r"`([^`]+)`", row[1])
    assert takes[:2] == [product.token_path, product.parameter]
    assert ("GET" in row[1], "POST" in row[1]) == ("query" in product.deliveries, "form" in product.deliveries)
