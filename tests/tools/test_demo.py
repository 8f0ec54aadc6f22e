"""The demo, driven as a newcomer drives it: what it prints, which ports it takes, and how it stops."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from lab.programs import ROOT, private_environment
from tests.support.demo import START_SECONDS, STOP_SECONDS, Demo, passwords_in, sign_in

StartDemo = Callable[..., Demo]
SHOP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello {environ['REMOTE_USER']}".encode()]
"""


@dataclass(frozen=True)
class Kept:
    """What a first demo printed, and the folder with the state that it left."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The first start, which creates the people; it takes twice as long as each later one."""
    folder = tmp_path_factory.mktemp("first") / "instance"
    with (folder.parent / "demo.out").open("wb") as file:
        demo = Demo(["-m", "tools.demo"], folder, file)
    try:
        return Kept(folder, demo.wait_until_ready())
    finally:
        assert demo.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def running(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo for tests that do not end it."""
    folder = tmp_path_factory.mktemp("running") / "instance"
    shutil.copytree(kept.folder, folder)
    with (folder.parent / "demo.out").open("wb") as file:
        demo = Demo(["-m", "tools.demo"], folder, file)
    demo.wait_until_ready()
    yield demo
    demo.end(signal.SIGTERM)


@pytest.fixture
def start_demo(kept: Kept, tmp_path: Path) -> Iterator[StartDemo]:
    """Return a function that starts a demo on a copy of the kept state, on free ports unless told which."""
    demos: list[Demo] = []
    shutil.copytree(kept.folder, tmp_path / "instance")

    def start(sp_port: int | None = None, env: dict[str, str] | None = None) -> Demo:
        with (tmp_path / f"demo-{len(demos)}.out").open("wb") as file:
            demos.append(Demo(["-m", "tools.demo"], tmp_path / "instance", file, sp_port, env=env))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)


def test_it_prints_the_addresses_and_the_passwords(running: Demo, kept: Kept) -> None:
    printed = running.output
    assert f"http://127.0.0.1:{running.sp_port}/\n" in printed
    assert f"http://127.0.0.1:{running.sp_port}/login?no_sso\n" in printed
    assert f"http://127.0.0.1:{running.sp_port}/settings/sso/jwt\n" in printed
    assert f"http://127.0.0.1:{running.idp_port}/\n" in printed
    steps = ["1. Sign in as administrator at", "/login?no_sso", "carol@", "2. Open the settings"]
    places = [printed.index(step) for step in steps]
    assert places == sorted(places)
    people = {"alice@example.com", "erin@example.com", "bob@example.com", "carol@example.com"}
    assert set(passwords_in(kept.printed)) == people
    listed = flask_command("idp", running.folder, "users list --json")
    shown = {row["email"]: (row["groups"], row["state"]) for row in json.loads(listed.stdout)}
    assert shown == {
        "alice@example.com": (["staff"], "enabled"),
        "erin@example.com": (["sales"], "enabled"),
        "bob@example.com": (["staff"], "disabled"),
    }
    assert answers(running.sp_port)
    assert answers(running.idp_port)


def test_a_second_start_prints_the_same_passwords(running: Demo, kept: Kept) -> None:
    passwords = passwords_in(kept.printed)
    assert passwords_in(running.output) == passwords

    credentials = kept.folder / "demo-credentials.json"
    assert json.loads(credentials.read_text()) == passwords
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600


def test_ctrl_c_stops_everything(start_demo: StartDemo) -> None:
    demo = start_demo()
    demo.wait_until_ready()
    assert demo.end(signal.SIGINT) == 0
    assert not listens(demo.sp_port)
    assert not listens(demo.idp_port)
    assert "Traceback" not in demo.output


@pytest.mark.browser
def test_a_browser_goes_from_the_printed_address_through_the_form_to_the_page_and_out_again(
    running: Demo, page: Page
) -> None:
    sign_in(page, running)

    page.get_by_role("link", name="How this sign-in worked").click()
    expect(page.get_by_role("heading", name="How you signed in")).to_be_visible()
    for width in (1280, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert [rule["id"] for rule in Axe().run(page).response["violations"]] == []
    page.get_by_role("button", name="Clock ahead").click()
    expect(page.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    page.get_by_role("link", name="What the gateway recorded").click()
    expect(page.get_by_role("main")).to_contain_text("token_not_yet_valid")

    page.get_by_role("link", name="Sign out").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"http://127.0.0.1:{running.idp_port}/logout?jwt=")
    expect(page.get_by_role("main")).to_contain_text("alice@example.com is signed out here")


def test_it_opens_the_browser_and_protects_another_application_if_asked(start_demo: StartDemo, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    env = {"OPEN": "1", "BROWSER": f"{browser} %s", "SP_APP": "shop:app", "PYTHONPATH": str(tmp_path)}
    demo = start_demo(env=env)
    demo.wait_until_ready()
    deadline = time.monotonic() + STOP_SECONDS
    while not opened.exists():
        assert time.monotonic() < deadline, demo.output
        time.sleep(0.05)
    assert opened.read_text() == f"http://127.0.0.1:{demo.sp_port}/\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.sp_port}/", timeout=5) as answer:
        assert answer.url.startswith(f"http://127.0.0.1:{demo.idp_port}/login-token/")


def test_check_idp_gives_the_demo_full_marks_on_any_port(running: Demo) -> None:
    password = passwords_in(running.output)["alice@example.com"]
    said = "check-idp --email alice@example.com --password-stdin --json"
    done = flask_command("sp", running.folder, said, typed=f"{password}\n")
    report = json.loads(done.stdout)
    assert [f for f in report["findings"] if f["outcome"] in ("failed", "advice")] == []
    assert (done.returncode, report["grade"]) == (0, "A")


def test_a_taken_port_is_named_and_the_next_free_one_used(start_demo: StartDemo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        printed = start_demo(sp_port=taken).wait_until_ready()
    said = re.search(rf"port {taken}, which is taken: it uses (\d+)", printed)
    assert said is not None, printed
    assert answers(int(said[1]))
    assert f"http://127.0.0.1:{said[1]}/\n" in printed


def test_when_one_program_dies_the_other_is_stopped_and_the_log_is_shown(start_demo: StartDemo, tmp_path: Path) -> None:
    demo = start_demo()
    demo.wait_until_ready()
    os.kill(pid_of("idp", demo.idp_port), signal.SIGKILL)
    assert demo.process.wait(STOP_SECONDS) == 1
    assert "The identity provider ended with status -9" in demo.output
    assert str(tmp_path / "instance" / "idp.log") in demo.output
    assert not listens(demo.sp_port)


def test_a_second_demo_on_the_same_state_is_refused(running: Demo, tmp_path: Path) -> None:
    with (tmp_path / "second.out").open("wb") as file:
        second = Demo(["-m", "tools.demo"], running.folder, file)
    assert second.process.wait(START_SECONDS) == 1
    assert "running already" in second.output


def flask_command(app: str, state: Path, said: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of *app* on the *state* of a demo."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", app, *said.split()],
        env=private_environment({"SP_INSTANCE": str(state), "IDP_INSTANCE": str(state)}),
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )


def answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return bool(answer.status == 200)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def pid_of(command: str, port: int) -> int:
    """Return the process that was started as `python -m lychgate COMMAND … --port PORT`, not its workers."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if words[1:4] == ["-m", "lychgate", command] and str(port) in words:
            return int(folder.name)
    raise AssertionError(f"lychgate {command} does not run on port {port}")
