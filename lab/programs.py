"""Run the two programs as real processes on free ports, with their state in a private folder.

The developer's settings do not affect them: variables named SP_… and IDP_… are removed, and the programs run in a
private folder without a `.env` file. In a checkout, this starts the scripts. In an installation, it starts the commands
`lychgate gateway` and `lychgate idp`.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.warm_start import Start, WarmProcess, fits, start

ROOT = Path(__file__).resolve().parents[1]
BELOW = (__package__ or "").removesuffix("lab")  # prefix of `sp`, `idp` and `lab`: `lychgate.` if installed, else ""
IMPORTED_FROM = ROOT.parent if BELOW else ROOT
INSTALLED = {"run_sp.py": "gateway", "run_idp.py": "idp"}  # script in a checkout: command in an installation
START_SECONDS = 60  # long, because the machine may be busy with other tests
STOP_SECONDS = 15
COMMAND_SECONDS = 60


class RunningProgram:
    """A program that runs from `start` to `stop`, or in a `with` block. It can be started again with the same state.

    If *warm* is true, the program is forked from a process that has already imported it, provided that the fork behaves
    like a new process (`lab.warm_start`).
    """

    def __init__(
        self,
        script: str | Path,
        port: int,
        folder: Path,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        public_url: str = "",
        *,
        warm: bool = True,
    ) -> None:
        self.script = ROOT / script
        self.port = port
        self.public_url = public_url
        self.folder = folder
        self.env = private_environment(env or {})
        self.args = tuple(args)
        self.warm = warm
        self.log_file = folder / f"{self.script.stem}-{port}.log"
        self.process: subprocess.Popen[bytes] | WarmProcess | None = None

    @property
    def url(self) -> str:
        """The URL for users: the public URL (of a proxy), if one was given, else the program's own."""
        return self.public_url or self.own_url

    @property
    def own_url(self) -> str:
        """The URL on which it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.script.name} was not started.")
        return self.process.pid

    @property
    def worker_pids(self) -> list[int]:
        """The processes that serve requests, which are children of the started process."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    @property
    def log(self) -> str:
        """Everything that it has printed since its first start."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, text: str, start: int = 0) -> str:
        """Wait for *text* in its output from *start* on, and return this output. A server may answer before it logs."""
        deadline = time.monotonic() + START_SECONDS
        while text not in (printed := self.log[start:]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.script.name} did not print {text!r}. Its log:\n{printed}")
            time.sleep(0.01)
        return printed

    def start(self, wait: bool = True) -> Self:
        """Start it, and return when `/healthz` answers 200; otherwise raise an error that has its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = ["--port", str(self.port), *self.args]
        if self.warm and self.script.parent == ROOT and self.script.is_file() and fits(self.env, IMPORTED_FROM):
            self.process = start(Start(str(self.script), arguments, self.env, self.folder, self.log_file))
        else:
            self.process = self._start_cold(arguments)
        if wait:
            try:
                self.wait_until_healthy()
            except BaseException:
                self.kill()
                raise
        return self

    def _start_cold(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start it with its command, as an operator does."""
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [*command_of(self.script), *arguments],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, so that `kill` takes the workers too
            )

    def wait_until_healthy(self) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                with direct.open(f"{self.own_url}{self.env.get('SP_PREFIX', '')}/healthz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as refusal:
                refusal.close()  # closes the connection
            except OSError:
                pass
            time.sleep(0.05)
        status = "ended" if self.process is None or self.process.poll() is not None else "did not become healthy"
        raise RuntimeError(f"{self.script.name} {status}. Its log:\n{self.log}")

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until it ends by itself; return its exit status."""
        if self.process is None:
            raise RuntimeError(f"{self.script.name} was not started.")
        return self.process.wait(seconds)

    def stop(self) -> int | None:
        """Stop it as an operator does, with SIGTERM; return its exit status."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(
                f"{self.script.name} ignored SIGTERM for {STOP_SECONDS} s. Its log:\n{self.log}"
            ) from None

    def kill(self) -> None:
        """Kill it and its workers at once, to simulate a power failure."""
        if self.process is None or self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def command_of(script: Path) -> list[str]:
    """Return the command line that starts *script*, or in an installation the command that replaces it."""
    if script.is_file():
        return [sys.executable, str(script)]
    return [sys.executable, "-m", BELOW.rstrip("."), INSTALLED[script.name]]


def private_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program under test: ours without settings of our programs or Flask, with *extra*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "IDP_", "FLASK_"))}
    return inherited | {"PYTHONPATH": str(IMPORTED_FROM), "PYTHONUNBUFFERED": "1"} | dict(extra)


def flask_command(
    app: str, *args: str, env: Mapping[str, str], folder: Path, typed: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `flask --app APP ARGS…` as an operator does; with *check*, raise if its exit status is not 0."""
    folder.mkdir(parents=True, exist_ok=True)
    done = _run_module("flask", ["--app", BELOW + app, *args], env=env, folder=folder, typed=typed)
    if check and done.returncode != 0:
        raise RuntimeError(f"flask --app {app} {' '.join(args)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def flask_commands(
    app: str, commands: Sequence[tuple[Sequence[str], str]], *, env: Mapping[str, str], folder: Path
) -> None:
    """Run several commands, each with its standard input, one after the other; raise if one fails."""
    module, typed = f"{BELOW}lab.several_commands", json.dumps(commands)
    done = _run_module(module, [BELOW + app], env=env, folder=folder, typed=typed)
    if done.returncode != 0:
        raise RuntimeError(f"flask --app {app} …: {done.stdout}{done.stderr}")


def _run_module(
    module: str, arguments: Sequence[str], *, env: Mapping[str, str], folder: Path, typed: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS…` and wait for its end. Use a fork if it behaves like a new process."""
    command = [sys.executable, "-m", module, *arguments]
    whole_env = private_environment(env)
    if not fits(whole_env, IMPORTED_FROM):
        return subprocess.run(
            command, cwd=folder, env=whole_env, input=typed, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    with tempfile.TemporaryDirectory(prefix="lychgate-command-") as name:
        given, output, errors = (Path(name) / stream for stream in ("given", "output", "errors"))
        given.write_text(typed)
        process = start(Start(module, arguments, whole_env, folder, output, errors, given, is_module=True))
        try:
            status = process.wait(COMMAND_SECONDS)
        finally:
            process.terminate()
        return subprocess.CompletedProcess(command, status, output.read_text(), errors.read_text())
