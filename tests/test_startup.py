"""What a command loads: a call takes a second at most, and most of that is imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import idp
import idp.config
import sp
import sp.config
from shared.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
MAX_MODULES = {"sp": 900, "idp": 950}  # of all packages together; 1,106 in the gateway before its commands loaded less
MAX_IN_WORKER = 1080  # 1,115 before it loaded Authlib and the commands only when they are asked for
HEAVY = {
    "sp": {"alembic", "mako", "pygments", "argon2", "authlib", "wtforms", "flask_wtf", "secure", "prometheus_client"}
    | {"sp.views", "sp.admin", "shared.web"},
    "idp": {"alembic", "mako", "pygments", "argon2", "authlib", "prometheus_client"},
}
LIST = """
import json, sys
from flask.cli import cli
try:
    cli.main(["--app", sys.argv[1], "users", "list"], prog_name="flask")
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("program", ["sp", "idp"])
def test_a_command_loads_neither_pages_nor_migrations(program: str, tmp_path: Path) -> None:
    names = {f"{program.upper()}_INSTANCE": str(tmp_path), f"{program.upper()}_SECRET_KEY": "x" * 64}
    if program == "sp":
        sp.create_app(sp.config.load(names))  # the database is up to date, as it mostly is
    else:
        idp.create_app(idp.config.load(names))
    ended = subprocess.run(
        [sys.executable, "-c", LIST, program],
        cwd=ROOT,
        env=os.environ | names,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.startswith("email"), ended.stderr
    loaded = json.loads(ended.stderr.splitlines()[-1])
    heavy = HEAVY[program]
    assert [name for name in loaded if name in heavy or name.rpartition(".")[0] in heavy] == []
    assert len(loaded) <= MAX_MODULES[program]


def test_a_worker_loads_neither_commands_nor_what_few_clients_ask_for(tmp_path: Path) -> None:
    """A worker that has answered a sign-in page, and the start of a sign-in, knows neither Authlib nor a command."""
    code = """
import json, sys, sp
client = sp.create_wsgi().own.test_client()
assert client.get("/login").status_code == 200
assert client.get("/sso/start").status_code in (303, 400, 404)
print(json.dumps(sorted(sys.modules)))
"""
    names = {"SP_INSTANCE": str(tmp_path), "SP_SECRET_KEY": "x" * 64}
    sp.create_app(sp.config.load(names))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | names, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    loaded = json.loads(ended.stdout.splitlines()[-1])
    unused = {"alembic", "mako", "authlib", "sp.cli", "sp.diagnosis.what_if", "prometheus_client"}
    assert [name for name in loaded if name.rpartition(".")[0] in unused or name in unused - {"sp.cli"}] == []
    assert len(loaded) <= MAX_IN_WORKER


@pytest.mark.parametrize("program", ["run_sp.py", "run_idp.py"])
def test_a_program_says_its_version_without_loading_itself(program: str) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / program), "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout == f"lychgate {VERSION}\n"
    assert not [line for line in ended.stderr.splitlines() if line.endswith(("| sp", "| idp", "| sqlalchemy"))]


@pytest.mark.parametrize(("program", "path"), [("sp", "/settings/sso/jwt"), ("idp", "/login-token/")])
def test_flask_lists_the_pages(program: str, path: str, tmp_path: Path) -> None:
    """`flask routes` makes the whole application, as a server does."""
    command = [sys.executable, "-m", "flask", "--app", program, "routes"]
    env = os.environ | {f"{program.upper()}_INSTANCE": str(tmp_path)}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert path in ended.stdout, ended.stderr
