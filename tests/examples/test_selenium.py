"""The example for Selenium runs as it is, with the machine's Chromium and its driver."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.programs import private_environment
from tests.examples.servers import EXAMPLES

SECONDS = 120  # on a busy machine


@pytest.mark.browser
def test_the_example_passes(tmp_path: Path) -> None:
    if importlib.util.find_spec("selenium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no Selenium with chromedriver; the package chromium-driver and pip install selenium bring them")
    folder = Path(shutil.copytree(EXAMPLES / "selenium", tmp_path / "example"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "lab.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist", "-q"],
        cwd=folder,
        env=private_environment({"HOME": str(tmp_path), "SE_OFFLINE": "true", "CI": ""}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
