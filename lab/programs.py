"""Run the two programs as their users run them: real processes on free ports, with private state.

Nothing is inherited from the developer's own settings: variables named SP_… and IDP_… are dropped, and the programs run
in a private folder without a `.env` file. In a checkout the scripts are started, and in an installation the commands
`lychgate gateway` and `lychgate idp`.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
BELOW = (__package__ or "").removesuffix("lab")  # the package that has the parts: none, or `lychgate.` when installed
IMPORTED_FROM = ROOT.parent if BELOW else ROOT
INSTALLED = {"run_sp.py": "gateway", "run_idp.py": "idp"}  # scripts of a checkout, by their commands in an installation
START_SECONDS = 60  # two cores may be busy with other tests
STOP_SECONDS = 15
COMMAND_SECONDS = 60


class RunningProgram:
    """A program that runs from `start` to `stop`, or within a `with`, and starts again on the same state."""

    def __init__(
        self,
        script: str | Path,
        port: int,
        folder: Path,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        public_url: str = "",
    ) -> None:
        self.script = ROOT / script
        self.port = port
        self.public_url = public_url
        self.folder = folder
        self.env = private_environment(env or {})
        self.args = tuple(args)
        self.log_file = folder / f"{self.script.stem}-{port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL under which people reach it: through a proxy, if it was given a public URL."""
        return self.public_url or self.own_url

    @property
    def own_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.script.name} was not started.")
        return self.process.pid

    @property
    def worker_pids(self) -> list[int]:
        """The processes that serve requests: the children of the one that was started."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    @property
    def log(self) -> str:
        """Everything it has printed so far, over all its starts."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_for_log(self, text: str, start: int = 0) -> str:
        """Return what it has printed from *start* on, once *text* is there: a server answers before it writes."""
        deadline = time.monotonic() + START_SECONDS
        while text not in (printed := self.log[start:]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.script.name} never printed {text!r}. Its log:\n{printed}")
            time.sleep(0.01)
        return printed

    def start(self, wait: bool = True) -> Self:
        """Start it, and return when `/healthz` answers 200; raise with its log if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command_of(self.script), "--port", str(self.port), *self.args],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, so that `kill` takes the workers too
            )
        if wait:
            try:
                self.wait_until_healthy()
            except BaseException:
                self.kill()
                raise
        return self

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
                refusal.close()  # it holds the connection
            except OSError:
                pass
            time.sleep(0.05)
        status = "ended" if self.process is None or self.process.poll() is not None else "never became healthy"
        raise RuntimeError(f"{self.script.name} {status}. Its log:\n{self.log}")

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until it ends by itself; return its exit status."""
        if self.process is None:
            raise RuntimeError(f"{self.script.name} was not started.")
        return self.process.wait(seconds)

    def stop(self) -> int | None:
        """Ask it to finish as an operator does, with SIGTERM; return its exit status."""
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
        """End it and its workers at once, as a power cut would."""
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
    """Return what starts *script*, or the program that has it in a checkout."""
    if script.is_file():
        return [sys.executable, str(script)]
    return [sys.executable, "-m", BELOW.rstrip("."), INSTALLED[script.name]]


def private_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program under test: the machine's, without our own names, and *extra*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "IDP_", "FLASK_"))}
    return inherited | {"PYTHONPATH": str(IMPORTED_FROM), "PYTHONUNBUFFERED": "1"} | dict(extra)


def flask_command(
    app: str, *args: str, env: Mapping[str, str], folder: Path, typed: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `flask --app APP ARGS…` as an operator does; with *check*, raise unless it returns 0."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", BELOW + app, *args],
        cwd=folder,
        env=private_environment(env),
        input=typed,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"flask --app {app} {' '.join(args)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


# Each command as `flask --app APP` runs it, but one start of Python for all of them: that is what takes the time.
SEVERAL_COMMANDS = """
import importlib, json, sys
runner = importlib.import_module(sys.argv[1]).create_app().test_cli_runner()
for arguments, typed in json.load(sys.stdin):
    done = runner.invoke(args=arguments, input=typed)
    if done.exit_code:
        sys.exit(f"{arguments}: status {done.exit_code}\\n{done.output}")
"""


def flask_commands(
    app: str, commands: Sequence[tuple[Sequence[str], str]], *, env: Mapping[str, str], folder: Path
) -> None:
    """Run several commands, each with what is typed into it, one after the other; raise unless all return 0."""
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_COMMANDS, BELOW + app],
        cwd=folder,
        env=private_environment(env),
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"flask --app {app} …: {done.stdout}{done.stderr}")
