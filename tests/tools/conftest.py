"""What `make dist` builds, once for each worker, and the environment that it is installed into."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo import Demo
from tests.support.installed import SECONDS, Installed
from tools import dist
from tools.one_name import PARTS

APP = """
from flask import Flask, request
from lychgate import Gateway
from idp import NAME

app = Flask(__name__)
app.add_url_rule("/reports", view_func=lambda: f"{NAME}: {request.remote_user} reads reports")
app.wsgi_app = Gateway(app.wsgi_app)
"""
PLAIN = """
from idp import NAME


def app(environ, start_response):
    start_response("200 OK", [])
    return [NAME.encode()]
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The sdist, the wheel and the pyz."""
    return dist.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(built: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into a new environment, which takes the dependencies from the project's environment."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(built[1])]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, timeout=SECONDS)
    site = folder / "env" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    project = folder / "project"
    for part in PARTS:
        (project / part).mkdir(parents=True)
        (project / part / "__init__.py").write_text(f"NAME = 'their {part}'\n")
    (project / "app.py").write_text(APP)
    (project / "plain.py").write_text(PLAIN)
    return Installed(folder / "env" / "bin", project)


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    """A list of demos that are stopped after the test."""
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)
