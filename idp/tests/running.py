"""The program as its users run it: a separate process, reached over a socket."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from idp.tests.support import Cast

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 40


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Message
    text: str


@dataclass
class Program:
    """A running program."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Ask it to end, as an operator does; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Visitor:
    """A browser over a real socket, which keeps cookies and follows no redirects."""

    def __init__(self, url: str) -> None:
        self._url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(_Stay, cookies, urllib.request.ProxyHandler({}))

    def open(self, path: str, **fields: str) -> Answer:
        """Ask for a page, or send a form."""
        body = urlencode(fields).encode() if fields else None
        try:
            with self._opener.open(self._url + path, body, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())

    def sign_in(self, person: Cast, path: str = "/login-token/") -> Answer:
        """Type the password."""
        hidden = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', self.open(path).text)
        token = hidden[1] if hidden else ""
        return self.open(path, csrf_token=token, email=person.email, password=person.password)


@contextmanager
def running(folder: Path, env: Mapping[str, str], *options: str, root: Path = ROOT) -> Iterator[Program]:
    """Run run_idp.py of *root* with its state in *folder*, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "program.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(root / "run_idp.py"), "--port", str(port), *options],
            cwd=root,
            env=environment(folder, env),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    program = Program(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(program)
        yield program
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def command(folder: Path, env: Mapping[str, str], *args: str, typed: str = "", root: Path = ROOT) -> str:
    """Run `flask --app idp …` as an operator does; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "idp", *args],
        cwd=root,
        env=environment(folder, env),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this machine without the developer's settings."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("IDP_", "SP_", "FLASK_", "PYTEST_"))}
    return inherited | {"IDP_INSTANCE": str(folder / "instance"), "PYTHONDONTWRITEBYTECODE": "1"} | dict(env)


def _wait_until_ready(program: Program) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and program.process.poll() is None:
        try:
            if Visitor(program.url).open("/readyz").status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"it did not start:\n{program.log.read_text()}")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirect."""
