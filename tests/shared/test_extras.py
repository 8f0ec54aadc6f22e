"""PostgreSQL and Redis are extras: without their packages the rest works, and a setting that needs one says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.programs import private_environment

WITHOUT_EXTRAS = "import sys; sys.modules['redis'] = sys.modules['psycopg'] = None\n"
START = WITHOUT_EXTRAS + "from lychgate.__main__ import main; main(sys.argv[1:])"


def run(code: str, *arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=private_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_the_extras_a_gateway_protects_an_application(tmp_path: Path) -> None:
    code = "from lychgate import Gateway; Gateway(lambda environ, start_response: [])"
    done = run(WITHOUT_EXTRAS + code, folder=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "setting", "url", "command"),
    [
        ("gateway", "SP_REPLAY_URL", "redis://127.0.0.1/0", "pip install 'lychgate[redis]'"),
        ("gateway", "SP_DATABASE_URL", "postgresql+psycopg://127.0.0.1/x", "pip install 'lychgate[postgresql]'"),
        ("idp", "IDP_DATABASE_URL", "postgresql+psycopg://127.0.0.1/x", "pip install 'lychgate[postgresql]'"),
    ],
)
def test_a_setting_that_needs_an_extra_names_the_command_that_installs_it(
    program: str, setting: str, url: str, command: str, tmp_path: Path
) -> None:
    done = run(START, program, folder=tmp_path, **{setting: url})
    assert done.returncode == 2, done.stderr
    assert setting in done.stderr
    assert command in done.stderr
    assert "Traceback" not in done.stderr
