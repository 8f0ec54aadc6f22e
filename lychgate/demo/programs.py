"""Start, watch and stop the gateway and the identity provider as child processes of the demo."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from lychgate.demo.outcome import DemoFailed, Stopped
from lychgate.demo.ports import HOST

START_SECONDS = 60  # limit until both programs answer; it is long, because the first start compiles every module
STOP_SECONDS = 10  # time for a program to finish its running requests; then the demo kills it
LOG_LINES = 20  # number of lines that are shown of the log of a program that ended


@dataclass
class Program:
    """The gateway or the identity provider, as a child process."""

    name: str
    command: str
    port: int
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start the program in a new session.

        Ctrl-C then reaches only the demo, which stops both programs in order.
        """
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lychgate", self.command, "--host", HOST, "--port", str(self.port)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def insist_alive(self) -> None:
        """Raise DemoFailed with the last lines of the log if the program has ended."""
        if self.process is None or self.process.poll() is None:
            return
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        shown = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        raise DemoFailed(
            f"The {self.name} ended with status {self.process.returncode}. Its log, {self.log}, ends with\n{shown}"
        )

    def is_healthy(self) -> bool:
        # The program runs on this machine, so ignore a proxy that is set in the environment (http_proxy).
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Terminate the program. If it does not end within STOP_SECONDS, kill it and its workers."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def wait_until_healthy(programs: list[Program], stop: Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = list(programs)
    while waiting:
        for program in programs:
            program.insist_alive()
        waiting = [program for program in waiting if not program.is_healthy()]
        if waiting and time.monotonic() > deadline:
            program = waiting[0]
            raise DemoFailed(f"The {program.name} did not answer within {START_SECONDS} seconds; see {program.log}.")
        if stop.wait(0.1 if waiting else 0):
            raise Stopped


def watch(programs: list[Program], stop: Event) -> None:
    """Wait until *stop* is set. Raise DemoFailed if one of the programs ends before that."""
    while not stop.wait(0.5):
        for program in programs:
            program.insist_alive()
