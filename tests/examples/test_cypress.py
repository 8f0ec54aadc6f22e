"""The steps of the Cypress example are right. Cypress itself cannot be installed from a package registry, so a small
replacement for its commands runs them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.programs import private_environment
from tests.examples.servers import EXAMPLES, running

STAND_IN = Path(__file__).with_name("cypress_stand_in.mjs")
SPEC = EXAMPLES / "cypress" / "sign_in.cy.js"
KEY = "a secret that only these tests know"


@contextmanager
def both_servers(folder: Path) -> Iterator[tuple[str, str]]:
    """Start what the example's first lines start; yield the URLs of the service and of the identity provider."""
    learn, idp = free_port(), free_port()
    login, token = f"http://127.0.0.1:{idp}/login-token/", f"http://127.0.0.1:{learn}/sso/login/jwt"
    env = private_environment({"SERVICE_KEY": KEY})
    lab = [sys.executable, "-m", "lab"]
    sp = [*lab, "serve-sp", "ispring", "--port", f"{learn}", "--key", "env:SERVICE_KEY", "--login-url", login]
    provider = [*lab, "serve-idp", "--port", f"{idp}", "--key", "env:SERVICE_KEY", "--service", token]
    with running(sp, learn, folder / "sp", env), running(provider, idp, folder / "idp", env):
        yield f"http://127.0.0.1:{learn}", f"http://127.0.0.1:{idp}"


def test_every_step_of_the_spec_does_what_it_says(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no Node.js; tools/system-packages installs it")
    with both_servers(tmp_path) as urls:
        done = subprocess.run([node, STAND_IN, SPEC, *urls], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed: ") == 2


def test_the_commands_in_the_first_lines_are_those_that_the_test_starts() -> None:
    head = (EXAMPLES / "cypress" / "cypress.config.js").read_text()
    for option in (
        "serve-sp ispring --port 5002 --key env:SERVICE_KEY --login-url http://127.0.0.1:5001/login-token/",
        "serve-idp --port 5001 --key env:SERVICE_KEY --service http://127.0.0.1:5002/sso/login/jwt",
    ):
        assert f"lychgate lab {option}" in head
