"""The wheel as a stranger uses it: beside own packages called `sp`, `idp` and `shared`."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from lab.cast import ALICE
from lab.pair import program_environment, table
from lab.ports import free_port
from lab.programs import ROOT
from lychgate import __version__
from tests.examples.servers import running
from tests.support.demo import Demo, sign_in
from tests.support.installed import SECONDS, Installed, without_the_checkout
from tools.one_name import OneName

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from lab.browser import Chromium

# The unit tests that a wheel has to pass: of what is pure, and of what opens and verifies tokens.
MOVED_TESTS = ("test_claims.py", "test_errors.py", "test_tokens.py", "test_verification.py")

ON_WORKERS = """
def test_nobody_else_is_signed_in(lychgate):
    lychgate.session()
    assert [session.email for session in lychgate.sessions()] == ["alice@example.com"]
"""
IN_A_BROWSER = """
from lychgate.lab.browser import Chromium
from playwright.sync_api import sync_playwright
import pytest

def test_alice_sees_the_protected_page(lychgate, tmp_path):
    with sync_playwright() as playwright:
        page = Chromium.find(playwright).launch(tmp_path).new_page()
        lychgate.sign_in(page, path="/reports")
        assert page.url == f"{lychgate.sp_url}/reports"
        assert "You are signed in, Alice Liddell" in page.content()

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with sync_playwright() as playwright:
        yield Chromium.find(playwright).launch(tmp_path_factory.mktemp("home"))

def test_by_the_form(lychgate, browser):
    lychgate.sign_in(browser.new_page())
    assert len(lychgate.sessions()) == 1

def test_at_once(lychgate, browser):
    lychgate.sign_in(browser.new_page(), fast=True)
    assert len(lychgate.sessions()) == 1
"""


def test_what_is_installed_says_its_version(installed: Installed) -> None:
    assert installed.run("lychgate", "--version").stdout == f"lychgate {__version__}\n"


def test_importing_the_one_name_loads_nothing_else(installed: Installed) -> None:
    code = "import sys, lychgate; print([name for name in sys.modules if name.startswith(('lychgate.', 'flask'))])"
    assert installed.run("python", "-c", code).stdout == "[]\n"


def test_the_pinned_packages_are_what_the_wheel_asks_for(installed: Installed) -> None:
    assert (
        "lychgate" not in installed.run("python", "-c", "import pip._internal.cli.main as m; m.main(['check'])").stdout
    )


def test_a_flask_application_beside_packages_of_the_same_names_is_protected(
    installed: Installed, tmp_path: Path
) -> None:
    app_port, idp_port = free_port(), free_port()
    app_url, idp_url = f"http://127.0.0.1:{app_port}", f"http://127.0.0.1:{idp_port}"
    key = secrets.token_urlsafe(48)
    provider = {"default": True, "keys": [key], "login_url": f"{idp_url}/login-token/", "preset": "ispring"}
    service = {"preset": "ispring", "return_url": f"{app_url}/sso/login/jwt", "keys": [key]}
    sp_env = program_environment("SP", tmp_path / "sp", app_url, table("providers.corporate", provider))
    idp_env = program_environment("IDP", tmp_path / "idp", idp_url, table("services.gate", service))
    sp_env["PYTHONPATH"] = idp_env["PYTHONPATH"] = ""
    idp = [str(installed.bin / "lychgate"), "idp", "--port", str(idp_port)]
    app = [str(installed.bin / "python"), "-m", "waitress", f"--listen=127.0.0.1:{app_port}", "app:app"]
    add = ["users", "add", ALICE.email, "--given-name", "Alice", "--password-stdin"]
    with running(idp, idp_port, installed.project, idp_env), running(app, app_port, installed.project, sp_env):
        flask = ["python", "-m", "flask", "--app", "lychgate.idp"]
        installed.run(*flask, *add, typed=f"{ALICE.password}\n", **idp_env)
        with httpx.Client(follow_redirects=True, timeout=SECONDS, trust_env=False) as browser:
            form = browser.get(f"{app_url}/reports", headers={"Accept": "text/html"})
            assert form.url.host == "127.0.0.1"
            assert form.url.port == idp_port
            hidden = dict(re.findall(r'name="([^"]+)" type="hidden" value="([^"]*)"', form.text))
            filled = {**hidden, "email": ALICE.email, "password": ALICE.password}
            page = browser.post(str(form.url), data=filled, headers={"Origin": idp_url})
    assert page.url == f"{app_url}/reports"
    assert page.text == "their idp: alice@example.com reads reports"


def test_the_command_serves_a_module_of_the_current_folder_and_the_images_check_asks_it(
    installed: Installed, tmp_path: Path
) -> None:
    port = free_port()
    rules = table("[rules]", {"path": "/", "allow": "anyone", "everything": True})
    env = program_environment("SP", tmp_path, f"http://127.0.0.1:{port}", rules)
    env |= {"SP_APP": "plain:app", "SP_PREFIX": "/gate", "PYTHONPATH": ""}
    command = [str(installed.bin / "lychgate"), "gateway", "--port", str(port)]
    with running(command, port, installed.project, env):
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=SECONDS).text == "their idp"
        installed.run(*health_check(port), http_proxy="http://127.0.0.1:9", **env)
    with pytest.raises(AssertionError, match="Connection refused"):
        installed.run(*health_check(port), **env)


def health_check(port: int) -> list[str]:
    """Return the command that Containerfile checks its container with, for another port."""
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", (ROOT / "Containerfile").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    assert ":5000'" in found[1]
    return list(json.loads(found[1].replace(":5000'", f":{port}'")))


@pytest.mark.browser
def test_the_installed_demo_signs_in(installed: Installed, demos: list[Demo], page: Page, tmp_path: Path) -> None:
    command, folder = [str(installed.bin / "lychgate"), "demo"], tmp_path / "state"
    with (tmp_path / "output").open("wb") as output:
        python = installed.bin / "python"
        demos.append(Demo(command, folder, output, python=python, cwd=installed.project, env={"PYTHONPATH": ""}))
    sign_in(page, demos[0])
    assert demos[0].end(signal.SIGINT) == 0
    assert "Traceback" not in (folder / "sp.log").read_text() + (folder / "idp.log").read_text()


def test_the_lab_mints_a_token(installed: Installed) -> None:
    faults = installed.run("lychgate", "lab", "token", "--list-faults").stdout
    assert "expired" in faults
    token = installed.run("lychgate", "lab", "token", "--key", "k" * 48).stdout
    assert token.count(".") == 2


@pytest.mark.browser
def test_ten_lines_in_an_empty_folder_sign_in_by_a_browser(
    installed: Installed, chromium: Chromium, tmp_path: Path
) -> None:
    assert chromium.executable  # without one this is skipped
    found = installed.run_pytest(tmp_path / "empty", {"test_of_a_stranger.py": IN_A_BROWSER}, "-p", "no:xdist")
    assert found == {"passed": 3}


def test_each_worker_of_xdist_has_its_programs(installed: Installed, tmp_path: Path) -> None:
    found = installed.run_pytest(tmp_path / "empty", {"test_of_a_stranger.py": ON_WORKERS}, "-n", "2", "--dist", "each")
    assert found == {"passed": 2}


def test_importing_the_plugin_imports_nothing_of_the_programs(installed: Installed) -> None:
    heavy = ("flask", "sqlalchemy", "playwright", "httpx", "requests")
    code = f"import sys, lychgate.lab.pytest_plugin; print([name for name in {heavy} if name in sys.modules])"
    assert installed.run("python", "-c", code).stdout == "[]\n"


def test_the_moved_unit_tests_pass_against_the_installed_wheel(installed: Installed, tmp_path: Path) -> None:
    names = OneName(ROOT)
    chosen = [path for path in (ROOT / "tests").rglob("*.py") if path.name in MOVED_TESTS]
    assert len(chosen) == len(MOVED_TESTS)
    helpers = [*(ROOT / "tests" / "support").glob("*.py"), *(ROOT / "tests").rglob("__init__.py")]
    for path in [*chosen, *helpers]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(names.python(path.read_text("utf-8"), str(path)), "utf-8")
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    done = subprocess.run(
        [str(installed.bin / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"],
        cwd=tmp_path,
        env=without_the_checkout() | {"CI": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 150
