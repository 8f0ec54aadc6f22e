"""The demo as a child process, read through a pipe as a newcomer reads it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab.ports import free_port
from lab.programs import ROOT, private_environment

if TYPE_CHECKING:
    from playwright.sync_api import Page

START_SECONDS = 90
STOP_SECONDS = 30


class Demo:
    """A demo, started by *python* with *arguments*; it keeps its state in *folder* and prints into *output*."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        output: IO[bytes],
        sp_port: int | None = None,
        *,
        python: Path | str = sys.executable,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.sp_port, self.idp_port = sp_port or free_port(), free_port()
        self.folder = folder
        self.output_file = Path(output.name)
        ports = {"DEMO_SP_PORT": str(self.sp_port), "DEMO_IDP_PORT": str(self.idp_port)}
        self.process = subprocess.Popen(
            [str(python), *arguments],
            cwd=cwd,
            env=private_environment({"SP_INSTANCE": str(folder), **ports, **(env or {})}),
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


def sign_in(page: Page, demo: Demo) -> None:
    """Go from the printed URL through the form to the protected page, as Alice."""
    from playwright.sync_api import expect

    password = passwords_in(demo.wait_until_ready())["alice@example.com"]
    page.goto(f"http://127.0.0.1:{demo.sp_port}/")
    page.get_by_label("E-mail").fill("alice@example.com")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="You are signed in, Alice Liddell")).to_be_visible()
    assert page.url == f"http://127.0.0.1:{demo.sp_port}/"


def passwords_in(printed: str) -> dict[str, str]:
    return dict(re.findall(r"(\S+@example\.com) +password +(\S+)", printed))
