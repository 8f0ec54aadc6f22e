"""The command line of the lab, as someone types it."""

import subprocess
import sys

import pytest

from lab.__main__ import COMMANDS, main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_without_a_command_the_usage_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m lab {name}" in capsys.readouterr().out


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "lab", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "COMMAND" in done.stdout


WITHOUT_PACKAGES_OF_TESTS = """
import importlib, pkgutil, sys
for name in ("playwright", "httpx", "requests", "pytest"):
    sys.modules[name] = None
import lab.cli, lab.faults, lab.attack, lab.checks
for package in (lab.cli, lab.faults, lab.attack, lab.checks):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from lab.__main__ import main
sys.exit(main(["token", "--key", "a secret"]))
"""


def test_the_commands_need_no_package_of_tests() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PACKAGES_OF_TESTS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 2
