"""The demo, driven as a newcomer drives it: what it prints, which ports it takes, and how it stops."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from playwright.sync_api import Page, expect

from tests.support.ports import free_port
from tests.support.programs import ROOT, private_environment

START_SECONDS = 90
STOP_SECONDS = 30


class Demo:
    """A running `python -m tools.demo`, read through a pipe."""

    def __init__(self, folder: Path, sp_port: int, idp_port: int, output: IO[bytes]) -> None:
        self.sp_port, self.idp_port = sp_port, idp_port
        self.output_file = Path(output.name)
        ports = {"DEMO_SP_PORT": str(sp_port), "DEMO_IDP_PORT": str(idp_port)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.demo"],
            cwd=ROOT,
            env=private_environment({"SP_INSTANCE": str(folder), **ports}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def wait_until_ready(self) -> str:
        """Return what it printed up to the block that introduces the demo."""
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)
        return self.output

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


StartDemo = Callable[..., Demo]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[StartDemo]:
    """Return a function that starts a demo, on the same state each time, on free ports unless told which."""
    demos: list[Demo] = []

    def start(sp_port: int | None = None) -> Demo:
        output = tmp_path / f"demo-{len(demos)}.out"
        with output.open("wb") as file:
            demos.append(Demo(tmp_path / "instance", sp_port or free_port(), free_port(), file))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)


def test_it_prints_the_address_and_both_passwords_and_ctrl_c_stops_everything(start_demo: StartDemo) -> None:
    demo = start_demo()
    printed = demo.wait_until_ready()
    assert f"http://127.0.0.1:{demo.sp_port}/\n" in printed
    assert f"http://127.0.0.1:{demo.sp_port}/login?no_sso\n" in printed
    assert set(passwords_in(printed)) == {"alice@example.com", "carol@example.com"}
    assert answers(demo.sp_port)
    assert answers(demo.idp_port)

    assert demo.end(signal.SIGINT) == 0
    assert not listens(demo.sp_port)
    assert not listens(demo.idp_port)
    assert "Traceback" not in demo.output


@pytest.mark.browser
def test_a_browser_goes_from_the_printed_address_through_the_form_to_the_page_and_out_again(
    start_demo: StartDemo, page: Page
) -> None:
    demo = start_demo()
    password = passwords_in(demo.wait_until_ready())["alice@example.com"]
    page.goto(f"http://127.0.0.1:{demo.sp_port}/")
    page.get_by_label("E-mail").fill("alice@example.com")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="You are in, Alice Liddell")).to_be_visible()
    assert page.url == f"http://127.0.0.1:{demo.sp_port}/"

    page.get_by_role("link", name="Sign out").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert page.url.startswith(f"http://127.0.0.1:{demo.idp_port}/logout?jwt=")
    expect(page.get_by_role("main")).to_contain_text("alice@example.com is signed out here")
    assert demo.end(signal.SIGINT) == 0


def test_a_second_start_prints_the_same_passwords(start_demo: StartDemo, tmp_path: Path) -> None:
    first = start_demo()
    passwords = passwords_in(first.wait_until_ready())
    assert first.end(signal.SIGTERM) == 0
    second = start_demo()
    assert passwords_in(second.wait_until_ready()) == passwords

    kept = tmp_path / "instance" / "demo-credentials.json"
    assert json.loads(kept.read_text()) == passwords
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


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


def test_a_second_demo_on_the_same_state_is_refused(start_demo: StartDemo) -> None:
    start_demo().wait_until_ready()
    second = start_demo()
    assert second.process.wait(START_SECONDS) == 1
    assert "running already" in second.output


def passwords_in(printed: str) -> dict[str, str]:
    return dict(re.findall(r"(\S+@example\.com) +password +(\S+)", printed))


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
