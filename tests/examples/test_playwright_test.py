"""The example for Playwright Test (TypeScript) runs as it is, with this lab and the machine's Chromium."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.browser import ARGUMENTS, Chromium
from lab.ports import free_port
from tests.examples.servers import EXAMPLES

ROOT = EXAMPLES.parent
PACKAGES = ROOT / ".venv" / "node" / "node_modules"


@pytest.mark.browser
def test_the_specs_of_the_example_pass(chromium: Chromium, tmp_path: Path) -> None:
    if shutil.which("node") is None or not (PACKAGES / "@playwright" / "test").is_dir():
        pytest.skip("no Node.js with Playwright Test; tools/node-packages installs it")
    folder = Path(shutil.copytree(EXAMPLES / "playwright_test", tmp_path / "example"))
    (folder / "node_modules").symlink_to(PACKAGES.resolve())
    environment = {
        **os.environ,
        "LAB": f"{sys.executable} -m lab",
        "PYTHONPATH": str(ROOT),
        "LEARN_PORT": str(free_port()),
        "IDP_PORT": str(free_port()),
        "CHROMIUM": chromium.executable,
        "CHROMIUM_ARGS": " ".join(ARGUMENTS),
        "HOME": str(tmp_path),
    }
    command = ["node", "node_modules/@playwright/test/cli.js", "test", "--reporter=line"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
