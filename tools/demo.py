"""Start the pair as a newcomer wants it: both programs, two people, one address to open.

`make demo` runs this. It decides which ports are used, tells the two programs of each other
(SP_EXTERNAL_URL, IDP_EXTERNAL_URL) and creates the demo users through the same commands that anyone
would type. Everything else is the programs' own doing: without SP_SECRET_KEY they start as a demo, with
generated secrets in their instance folder, so that a second start finds the state of the first.

SP_INSTANCE or IDP_INSTANCE chooses the folder, DEMO_SP_PORT and DEMO_IDP_PORT the ports to try first.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PERSON = "alice@example.com"
ADMINISTRATOR = "carol@example.com"

START_SECONDS = 60  # until both programs answer; a slow laptop's first start compiles every module
COMMAND_SECONDS = 60
STOP_SECONDS = 10  # for requests under way; after that a program is killed
LOG_LINES = 20
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that can be misread, as people type it


class DemoFailed(Exception):
    """The demo cannot go on; the text tells the person why."""


class Stopped(Exception):
    """Someone asked the demo to stop while it was still starting."""


def main() -> int:
    """Run until Ctrl-C, SIGTERM or the end of one of the programs; return the exit status."""
    os.umask(0o077)  # for the programs and commands that it starts as well
    stop = stop_on_signals()
    try:
        with contextlib.ExitStack() as cleanup:
            run(stop, cleanup)
    except Stopped:
        pass
    except DemoFailed as failure:
        say(f"\n{failure}")
        return 1
    say("Stopped.")
    return 0


def run(stop: Event, cleanup: contextlib.ExitStack) -> None:
    """Start, introduce and watch the two programs; *cleanup* stops whatever was started."""
    environment = demo_environment()
    folder = Path(environment["SP_INSTANCE"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cleanup.enter_context(only_demo_of(folder))

    sp_wish, idp_wish = wished_port("DEMO_SP_PORT", 5000), wished_port("DEMO_IDP_PORT", 5001)
    sp_port = choose_port("The gateway", sp_wish, avoid={idp_wish})
    idp_port = choose_port("The identity provider", idp_wish, avoid={sp_port})
    environment["SP_EXTERNAL_URL"] = f"http://{HOST}:{sp_port}"
    environment["IDP_EXTERNAL_URL"] = f"http://{HOST}:{idp_port}"

    idp = Program("identity provider", "run_idp.py", idp_port, folder / "idp.log", environment)
    sp = Program("gateway", "run_sp.py", sp_port, folder / "sp.log", environment)
    say("Starting the identity provider and the gateway ...")
    for program in (idp, sp):
        program.start()
        cleanup.callback(program.stop)
    wait_until_healthy([idp, sp], stop)

    credentials = Credentials(folder / "demo-credentials.json")
    create_people(credentials, environment, stop)
    say(introduction(sp.url, credentials))
    watch([idp, sp], stop)
    say("\nStopping both programs ...")


def say(text: str) -> None:
    print(text, flush=True)  # whoever reads through a pipe must see it at once


def stop_on_signals() -> Event:
    """Return the event that Ctrl-C, SIGTERM and a closed terminal set."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started under nohup: outlives its terminal
        signal.signal(number, lambda *_: stop.set())
    return stop


def demo_environment() -> dict[str, str]:
    """Return the environment of all that the demo starts: the caller's, with one folder for both programs.

    Without settings the two find each other in their instance folder, so it has to be the same one.
    """
    environment = dict(os.environ)
    names = ("SP_INSTANCE", "IDP_INSTANCE")
    folders = {Path(environment[name]).resolve() for name in names if environment.get(name)}
    if len(folders) > 1:
        raise DemoFailed("SP_INSTANCE and IDP_INSTANCE differ; a demo keeps both programs in one folder.")
    folder = folders.pop() if folders else ROOT / "instance"
    environment.update(dict.fromkeys(names, str(folder)))
    for name in ("SP_SECRET_KEY", "SP_SECRET_KEY_FILE", "IDP_SECRET_KEY", "IDP_SECRET_KEY_FILE"):
        if environment.pop(name, None):
            say(f"{name} is set, which belongs to a real deployment; the demo starts without it.")
    return environment


@contextlib.contextmanager
def only_demo_of(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; two demos on one state would turn each other's settings around.

    The system lets go of the lock when this process ends, however it ends.
    """
    with (folder / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(
                f"A demo is running already on the state in {folder}.\n"
                "Stop it first, or choose another folder with SP_INSTANCE."
            ) from None
        yield


def wished_port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise DemoFailed(f"{name} must be a port from 1 to 65535, not {text!r}.")
    return int(text)


def choose_port(who: str, wish: int, avoid: set[int]) -> int:
    """Return *wish*, or else the next free port after it, saying so."""
    if wish not in avoid and is_free(wish):
        return wish
    for port in range(wish + 1, min(wish + 200, 65536)):
        if port not in avoid and is_free(port):
            say(f"{who} cannot have port {wish}, which is taken: it uses {port}.")
            return port
    raise DemoFailed(f"No free port was found from {wish} on.")


def is_free(port: int) -> bool:
    """Tell whether the port can be bound and nobody answers there.

    Both questions, because some systems let a second program bind a port that is in use.
    """
    with socket.socket() as caller:
        caller.settimeout(1)
        if caller.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
    return True


@dataclass
class Program:
    """One of the two programs as a child process."""

    name: str
    script: str
    port: int
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C then reaches the demo alone, which stops both in order."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / self.script), "--host", HOST, "--port", str(self.port)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def insist_alive(self) -> None:
        """Raise DemoFailed with the last lines of the log when the program has ended."""
        if self.process is None or self.process.poll() is None:
            return
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        shown = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        raise DemoFailed(
            f"The {self.name} ended with status {self.process.returncode}. Its log, {self.log}, ends with\n{shown}"
        )

    def is_healthy(self) -> bool:
        # Never through a proxy that the shell happens to name: the program is on this machine.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> None:
        """Ask it to finish, wait, and only then kill it together with its workers."""
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


class Credentials:
    """The demo users' passwords, kept so that every start of the same folder prints the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passwords: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError):
            try:
                self.passwords = dict(json.loads(path.read_text()))
            except ValueError:
                raise DemoFailed(f"{path} is damaged. Remove it, and new passwords are made.") from None

    def known(self, email: str) -> bool:
        return email in self.passwords

    def password(self, email: str) -> str:
        """Return the person's password; a new one is on disk before it is used anywhere."""
        if email not in self.passwords:
            groups = ("".join(secrets.choice(READABLE) for _ in range(4)) for _ in range(4))
            self.passwords[email] = "-".join(groups)
            self.save()
        return self.passwords[email]

    def save(self) -> None:
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            json.dump(self.passwords, file, indent=2)
            file.write("\n")
        draft.replace(self.path)


def create_people(credentials: Credentials, environment: dict[str, str], stop: Event) -> None:
    """Create the demo person at the identity provider and the administrator at the gateway, where missing.

    A person whose password was lost with the credentials file gets a new one.
    """
    people = (
        (
            "idp",
            PERSON,
            ["users", "add", PERSON, "--given-name", "Alice", "--family-name", "Liddell", "--group", "staff"],
            ["users", "set-password", PERSON],
        ),
        (
            "sp",
            ADMINISTRATOR,
            ["users", "create-admin", ADMINISTRATOR],
            ["users", "create-admin", ADMINISTRATOR],
        ),
    )
    for app, email, create, renew in people:
        if stop.is_set():
            raise Stopped
        exists = is_listed(email, command(app, ["users", "list", "--json"], environment))
        if exists and credentials.known(email):
            continue
        arguments = renew if exists else create
        command(app, [*arguments, "--password-stdin"], environment, typed=credentials.password(email))


def is_listed(email: str, listing: str) -> bool:
    """Tell whether the JSON *listing* holds this very address, whatever its layout."""
    return re.search(f'"{re.escape(email)}"', listing, re.IGNORECASE) is not None


def command(app: str, arguments: list[str], environment: dict[str, str], typed: str = "") -> str:
    """Run one of the programs' own commands and return what it printed; raise DemoFailed if it refused."""
    shown = " ".join(["flask", "--app", app, *arguments])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", app, *arguments],
            cwd=ROOT,
            env=environment,
            input=typed + "\n",
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            start_new_session=True,  # a Ctrl-C must not cut a half-written account
        )
    except subprocess.TimeoutExpired:
        raise DemoFailed(f"`{shown}` did not finish within {COMMAND_SECONDS} seconds.") from None
    if done.returncode != 0:
        printed = (done.stderr or done.stdout).strip().splitlines()[-LOG_LINES:]
        said = "\n".join(f"  {line}" for line in printed)
        raise DemoFailed(f"`{shown}` failed with status {done.returncode}:\n{said}")
    return done.stdout


def introduction(url: str, credentials: Credentials) -> str:
    return f"""
Lychgate is running.

  Open           {url}/
  Sign in as     {PERSON}   password  {credentials.password(PERSON)}

  Administrator  {ADMINISTRATOR}   password  {credentials.password(ADMINISTRATOR)}
  signs in at    {url}/login?no_sso

The passwords were made for this folder and are kept in {credentials.path}
Ctrl-C stops both programs."""


def watch(programs: list[Program], stop: Event) -> None:
    """Return when asked to stop; raise DemoFailed when a program ends by itself."""
    while not stop.wait(0.5):
        for program in programs:
            program.insist_alive()


if __name__ == "__main__":
    sys.exit(main())
