"""lychgate.pyz: one file that runs where the compiled packages are installed, and names them where they are not."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.demo import Demo, sign_in
from tests.support.installed import SECONDS, without_the_checkout

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.browser
def test_the_one_file_signs_in_where_only_compiled_packages_are_installed(
    built: tuple[Path, Path, Path], demos: list[Demo], page: Page, tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    for name in ("cryptography*", "argon2_cffi_bindings*", "_argon2_cffi_bindings", "cffi*", "_cffi_backend*"):
        for found in Path(sysconfig.get_path("platlib")).glob(name):
            (site / found.name).symlink_to(found)
    env = {"PYTHONPATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    python, folder = tmp_path / "env" / "bin" / "python", tmp_path / "state"
    with (tmp_path / "output").open("wb") as output:
        demos.append(Demo([str(built[2]), "demo"], folder, output, python=python, cwd=tmp_path, env=env))
    sign_in(page, demos[0])
    assert demos[0].end(signal.SIGINT) == 0


def test_the_one_file_says_what_is_missing(built: tuple[Path, Path, Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    done = start_one_file(built[2], tmp_path / "env" / "bin" / "python", tmp_path / "cache")
    assert done.returncode == 1
    assert re.search(r"^  argon2-cffi-bindings$", done.stderr, re.MULTILINE)
    assert re.search(r"^  cryptography>=[\d.]+", done.stderr, re.MULTILINE)
    assert f"{tmp_path}/env/bin/python -m pip install 'argon2-cffi-bindings' 'cryptography" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("trap", ["writable", "link"])
def test_attack_a_cache_that_another_user_can_change_is_not_run_from(
    trap: str, built: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "lychgate"
    folder.parent.mkdir()
    if trap == "link":
        (tmp_path / "mine").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "mine")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    done = start_one_file(built[2], Path(sys.executable), folder.parent)
    assert done.returncode == 1
    assert "not a folder that only you can write" in done.stderr
    assert list(folder.iterdir()) == []


def start_one_file(file: Path, python: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    env = without_the_checkout({"XDG_CACHE_HOME": str(cache)})
    command = [str(python), str(file), "--version"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)
