"""The identity provider is made to be copied: four entries of this folder, and it works elsewhere without the rest."""

import ast
import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lab.cast import ALICE
from lab.pair import SERVICE, program_environment, table
from lab.ports import free_port
from lab.programs import ROOT, RunningProgram, flask_command

COPIED = ("idp", "shared", "run_idp.py", "requirements.txt")
KEY = "the secret that the copy shares with its service"
RETURN_URL = "http://127.0.0.1:9/sso/login/jwt"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with only the four entries."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_copy_signs_a_person_in(copy: Path) -> None:
    port = free_port()
    service = {"preset": "ispring", "keys": [KEY], "return_url": RETURN_URL}
    env = program_environment("IDP", copy / "state", f"http://127.0.0.1:{port}", table(f"services.{SERVICE}", service))
    env["PYTHONPATH"] = ""  # the original must not be importable
    with RunningProgram(copy / "run_idp.py", port, copy, env) as program:
        flask_command(
            "idp", "users", "add", ALICE.email, "--password-stdin", env=env, folder=copy, typed=f"{ALICE.password}\n"
        )
        with httpx.Client(base_url=program.url, trust_env=False) as client:
            form = client.get("/login-token/").text
            csrf_token = form.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
            fields = {"csrf_token": csrf_token, "email": ALICE.email, "password": ALICE.password}
            answer = client.post("/login-token/", data=fields)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith(f"{RETURN_URL}?")
            assert len(parse_qs(urlsplit(answer.headers["location"]).query)["jwt"][0].split(".")) == 3
            assert ALICE.email in client.get("/").text
    assert "Traceback" not in program.log


def test_every_import_of_the_copy_is_its_own_or_the_standard_librarys_or_pinned(copy: Path) -> None:
    pinned = {
        normalised(line.partition("==")[0].partition("[")[0])
        for line in (copy / "requirements.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    }
    packages = importlib.metadata.packages_distributions()
    missing = [
        f"{file.relative_to(copy)}: {name}"
        for file in sorted(copy.rglob("*.py"))
        if "tests" not in file.parts and "examples" not in file.parts
        for name in imported(file)
        if name not in ("idp", "shared", "_typeshed") and name not in sys.stdlib_module_names
        if not pinned & {normalised(distribution) for distribution in packages.get(name, [])}
    ]
    assert missing == []


def imported(file: Path) -> Iterator[str]:
    """Yield the first part of every module name that *file* imports from outside its package."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def normalised(name: str) -> str:
    """Return a distribution's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
