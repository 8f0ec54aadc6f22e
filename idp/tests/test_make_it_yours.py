"""Every step of "Make it yours" (idp/README.md), done in a copy without the rest of the project."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from idp.tests.running import ROOT, Visitor, command, environment, running
from idp.tests.support import ALICE, KEY, Cast, unverified

SECRET = {"IDP_SECRET_KEY": "a-secret-key-of-the-copy-0123456789abcdef"}
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", "instance")
SERVICES = f"""
[services.learn]
preset = "ispring"
display_name = "Courses"
return_url = "https://learn.example/sso/login/jwt"
keys = ["{KEY}"]
"""
PEOPLE = """
from idp.people import Person, WrongCredentials

class Staff:
    def find(self, email):
        return Person("1", "dora@example.com", "Dora", "Keyes") if email == "dora@example.com" else None

    def authenticate(self, email, password):
        person = self.find(email)
        if person is None or password != "a-password-from-elsewhere":
            raise WrongCredentials
        return person

def open_directory():
    return Staff()
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The copy: idp/, shared/, run_idp.py, requirements.txt."""
    root = tmp_path / "mine"
    for name in ("idp", "shared"):
        shutil.copytree(ROOT / name, root / name, ignore=NOT_COPIED)
    for name in ("run_idp.py", "requirements.txt"):
        shutil.copy(ROOT / name, root / name)
    return root


def test_step_1_the_copy_runs_its_own_tests(copy: Path) -> None:
    # All tests are collected, so no import is missing; only some are run, because a whole run takes a minute.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "idp/tests", "-k", "test_sign_in or proxies"],
        cwd=copy,
        env=environment(copy, {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def test_what_the_copy_imports_stands_in_its_requirements() -> None:
    """Our own environment has more packages, so a test run in it would not notice a missing requirement."""
    pinned = {re.split(r"[=\[]", line)[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    distributions = packages_distributions()
    for file in [*(ROOT / "idp").rglob("*.py"), *(ROOT / "shared").rglob("*.py"), ROOT / "run_idp.py"]:
        if {"tests", "examples", "__pycache__"} & set(file.parts):
            continue  # a copy installs pytest, and the library that an example uses, by itself
        for package in imported_packages(file) - sys.stdlib_module_names - {"idp", "shared"}:
            names = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions.get(package, [package])}
            assert names & pinned, f"{file}: {package}"


def imported_packages(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found - {"_typeshed"}


def test_steps_2_and_3_a_secret_key_and_your_services(copy: Path) -> None:
    (copy / "services.toml").write_text(SERVICES)
    env = SECRET | {"IDP_CONFIG": str(copy / "services.toml")}
    command(copy, env, "users", "add", ALICE.email, "--password-stdin", typed=f"{ALICE.password}\n", root=copy)
    with running(copy, env, root=copy) as program:
        answer = Visitor(program.url).sign_in(ALICE)
        assert answer.headers["Location"].startswith("https://learn.example/sso/login/jwt?jwt=")
        assert "DEMO" not in program.log.read_text()


def test_step_4_your_people(copy: Path) -> None:
    (copy / "services.toml").write_text(SERVICES)
    (copy / "staff.py").write_text(PEOPLE)
    env = SECRET | {"IDP_CONFIG": str(copy / "services.toml"), "IDP_PEOPLE": "staff:open_directory"}
    with running(copy, env, root=copy) as program:
        assert Visitor(program.url).sign_in(ALICE).status == 401
        answer = Visitor(program.url).sign_in(Cast("dora@example.com", "a-password-from-elsewhere"))
        token = parse_qs(urlsplit(answer.headers["Location"]).query)["jwt"][0]
        assert unverified(token)["given_name"] == "Dora"


def test_step_5_your_look(copy: Path) -> None:
    page = copy / "idp" / "templates" / "ui" / "base.html"
    page.parent.mkdir()
    page.write_text("<title>Our house</title>{% block content %}{% endblock %}")
    with running(copy, {}, root=copy) as program:
        page_text = Visitor(program.url).open("/login-token/").text
        assert "<title>Our house</title>" in page_text
        assert 'name="password"' in page_text


def test_step_6_your_product_as_a_preset(copy: Path) -> None:
    presets = copy / "idp" / "presets.py"
    entry = '    "wiki": {"token_parameter": "t", "claims": {"mail": "email"}},\n    "ispring": {'
    presets.write_text(presets.read_text().replace('    "ispring": {', entry, 1))
    (copy / "services.toml").write_text(SERVICES.replace('"ispring"', '"wiki"'))
    command(copy, SECRET, "users", "add", ALICE.email, "--password-stdin", typed=f"{ALICE.password}\n", root=copy)
    command(copy, SECRET, "services", "apply", "services.toml", root=copy)
    with running(copy, SECRET, root=copy) as program:
        answer = Visitor(program.url).sign_in(ALICE)
        assert unverified(parse_qs(urlsplit(answer.headers["Location"]).query)["t"][0])["mail"] == ALICE.email
