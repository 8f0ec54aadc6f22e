"""Every shell command in the documents works: it is run here, or its options are checked, or the reason is listed."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import click
import pytest
from flask import Flask

import idp
import idp.config
import sp.config
from lab.__main__ import parser as lab_parser
from lab.minting import mint
from shared.serving import command_line
from sp import create_app
from tests.docs.documents import DOCUMENTS, FENCE, ROOT, blocks, commands, name_of, text_of

KEY = "a secret of the documents, long enough for SHA-256"
PASSWORD = "correct horse battery staple"
PROGRAMS = r"(?:\w+=\S+ )*(?:make|flask|python3?|pip|openssl|sqlite3|systemd-run|lychgate|curl|\.venv/bin/\S+) "
NOT_RUN = {  # beginnings of commands, each with the reason
    "python -m venv": "the environment of a copy, which tests/test_copy.py makes in another way",
    ".venv/bin/pip install": "installs packages from a registry",
    ".venv/bin/python -m pytest idp/tests": "tests/test_copy.py runs it in a copy",
    "pip install dist/": "tests/tools/test_installed.py installs the wheel",
    "pip install 'lychgate[test]'": "tests/tools/test_testing_guide.py runs the guide with the installed wheel",
    "lychgate demo": "tests/tools/test_installed.py signs in with it",
    "podman ": "needs a registry of images; tests/tools/test_dist.py repeats what the Containerfile does",
    "SP_EXTERNAL_URL=http://127.0.0.1:8000 uvicorn ": "tests/examples/test_applications.py starts the examples",
    "systemd-run": "needs systemd; the flask command in it is run by itself",
    "curl -s ": "tests/lab/test_emulators_guide.py asks the emulator that the same guide starts",
    "sqlite3": "needs the command of SQLite, which is not among the project's requirements",
}
ONLY_PARSED = {
    "check-idp": "needs an identity provider that runs; tests/sp/cli/test_commands.py signs in at one",
    "activity": "needs recorded attempts; tests/sp/cli/test_commands.py has some",
    "what-if": "needs recorded attempts; tests/sp/diagnosis/test_what_if.py has some",
    "doctor": "needs a deployment; tests/doctor has many",
    "doctor-echo": "runs until it is stopped; tests/doctor runs it",
}
STATUS_1 = {
    "inspect": "the token of the example has expired",
    "explain": "says that the request is rejected",
    "doctor": "says that the program of these tests is a demo",
    "people": "the person of the example is not in the directory of these tests",
}
CONFIG = f"""
[providers.corporate]
default = true
keys = ["{KEY}"]
login_url = "https://login.example.org/login-token/"

[[rules]]
path = "/admin/"
allow = {{ groups = ["admins"] }}
"""
PROVIDER = f"""
[providers.other]
keys = ["{KEY}"]
login_url = "https://login.example.org/"
"""
SERVICE = """
[services.learn]
preset = "ispring"
return_url = "https://learn.example.org/sso/login/jwt"
keys = []
"""
FILES = {"sp": PROVIDER, "idp": SERVICE}
newcomers = count()  # a person is added once only


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Flask]:
    """Both programs, with what the documents' examples name: an administrator, a person, a provider, services."""
    folder = tmp_path_factory.mktemp("instance")
    (folder / "gateway.toml").write_text(CONFIG, encoding="utf-8")
    gateway = sp.config.load({"SP_INSTANCE": str(folder), "SP_CONFIG": str(folder / "gateway.toml")})
    provider = idp.config.load({"IDP_INSTANCE": str(folder)})
    made = {"sp": create_app(gateway), "idp": idp.create_app(provider)}
    invoke(made["sp"], ["users", "create-admin", "alice@example.org", "--password-stdin"])
    (folder / "services.toml").write_text(SERVICE, encoding="utf-8")
    invoke(made["idp"], ["services", "apply", str(folder / "services.toml")])
    return made


@pytest.mark.parametrize(("document", "line"), sorted(set(commands())))
def test_a_command_of_the_documents_works(document: str, line: str, apps: Mapping[str, Flask], tmp_path: Path) -> None:
    words = shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line), comments=True)
    match [word.rpartition("/")[2] for word in words[:1]] + words[1:]:
        case _ if any(line.startswith(beginning) for beginning in NOT_RUN):
            return
        case ["make", *arguments]:
            run_make(arguments)
        case ["flask", "--app", program, *arguments]:
            run_flask(apps[program], arguments, tmp_path)
        case ["python", script, *arguments] if (ROOT / script).is_file():
            assert command_line(None, 5000).parse_args(arguments)
        case ["python", "-m", "lab", *arguments]:
            assert lab_parser("lab", arguments).parse_args(arguments)
        case ["lychgate", "gateway" | "idp", *arguments]:
            assert command_line(None, 5000).parse_args(arguments)
        case ["openssl", *_]:
            run_openssl(document, line, tmp_path)
        case _:
            pytest.fail(f"{document}: neither run nor listed with a reason: {line}")


def run_openssl(document: str, line: str, folder: Path) -> None:
    """Run a command of openssl in *folder*, after those that stand before it in the document and write its files."""
    lines = [command for name, command in commands() if name == document and command.startswith("openssl ")]
    for command in lines[: lines.index(line) + 1]:
        subprocess.run(["/bin/sh", "-ec", command], cwd=folder, check=True, capture_output=True, timeout=60)
    assert all(file.stat().st_size for file in folder.iterdir())


def test_commands_are_found_in_many_documents() -> None:
    found = list(commands())
    assert len({document for document, _line in found}) > 8
    assert {"make", "flask", "python"} <= {line.split()[0] for _document, line in found}


def test_no_reason_is_left_over() -> None:
    lines = [line for _document, line in commands()]
    assert [beginning for beginning in NOT_RUN if not any(line.startswith(beginning) for line in lines)] == []
    assert [name for name in [*ONLY_PARSED, *STATUS_1] if not any(f" {name} " in f"{line} " for line in lines)] == []


def test_every_block_says_its_language() -> None:
    assert [(block.document, block.body[:40]) for block in blocks() if not block.language] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_command_hides_outside_of_a_block_of_sh(document: Path) -> None:
    """In a block of another language, or indented without a fence, a command would not be run."""
    others = [block.body for block in blocks() if block.document == name_of(document) and block.language != "sh"]
    assert [line for body in others for line in body.splitlines() if re.match(rf"\s*{PROGRAMS}", line)] == []
    assert re.findall(rf"^ {{4,}}{PROGRAMS}.*", FENCE.sub("", text_of(document)), re.MULTILINE) == []


def run_make(arguments: list[str]) -> None:
    done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def run_flask(app: Flask, arguments: list[str], folder: Path) -> None:
    """Run a command with the placeholders of the documents filled in, or parse it only, where that is listed."""
    arguments = [filled(app.name, word, folder) for word in arguments]
    if arguments[0] in ONLY_PARSED:
        command = app.cli.get_command(click.Context(app.cli), arguments[0])
        assert command is not None
        command.make_context(arguments[0], arguments[1:])
        return
    if arguments[:2] == ["users", "add"]:
        arguments[2] = f"{next(newcomers)}-{arguments[2]}"
    if arguments[:2] == ["users", "remove"]:  # the others still need alice
        arguments[-1] = "gone@example.org"
        invoke(app, ["users", "create-admin", arguments[-1], "--password-stdin"])
    invoke(app, arguments)


def filled(program: str, word: str, folder: Path) -> str:
    if word.endswith(".toml"):
        file = folder / word
        file.write_text(FILES[program], encoding="utf-8")
        return str(file)
    token = mint({"iat": 1, "exp": 61, "jti": "1", "email": "alice@example.org"}, KEY)
    return {"NAME": "learn" if program == "idp" else "corporate", "TOKEN": token}.get(word, word)


def invoke(app: Flask, arguments: list[str]) -> None:
    done = app.test_cli_runner().invoke(args=arguments, input=f"{PASSWORD}\n{PASSWORD}\n")
    allowed = {0, 1} if arguments[0] in STATUS_1 else {0}
    assert done.exit_code in allowed, (arguments, done.output, done.exception)
