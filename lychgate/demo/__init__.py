"""Start the gateway and the identity provider for a first try, with demo users, and print the URL to open.

`make demo` and `lychgate demo` run this. It chooses the ports, sets SP_EXTERNAL_URL and IDP_EXTERNAL_URL, and creates
the demo users with the same commands as an administrator. The programs run without SP_SECRET_KEY and IDP_SECRET_KEY,
that is, as a demo: they store generated secrets in the instance folder. So a second start uses the data of the first.
Secret keys and URLs of databases in `.env` are ignored, because they belong to a deployment.

SP_INSTANCE or IDP_INSTANCE sets the folder, by default `instance` in the current folder. DEMO_SP_PORT and
DEMO_IDP_PORT set the ports to try first. OPEN=1 opens the browser.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from lychgate.demo.outcome import DemoFailed, Stopped, say
from lychgate.demo.people import (
    ADMINISTRATOR,
    DISABLED_PERSON,
    OTHER_PERSON,
    PERSON,
    DemoPasswords,
    create_people,
)
from lychgate.demo.ports import HOST, choose_port, wished_port
from lychgate.demo.programs import Program, wait_until_healthy, watch

KEYS_OF_A_DEPLOYMENT = tuple(
    f"{program}_SECRET_KEY{end}" for program in ("SP", "IDP") for end in ("", "_FILE", "_FALLBACKS", "_FALLBACKS_FILE")
)
STORES = tuple(
    name + end for name in ("SP_DATABASE_URL", "SP_REPLAY_URL", "IDP_DATABASE_URL") for end in ("", "_FILE")
)  # of the environment, but not of `.env`: the demo must not write its people into the database of a deployment


def main() -> int:
    """Run until Ctrl-C, SIGTERM or the end of one of the programs, and return the exit status."""
    os.umask(0o077)  # this also applies to the programs and commands that the demo starts
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
    """Start the gateway and the identity provider, print the introduction, and watch the two programs.

    *cleanup* stops each program that was started.
    """
    environment = demo_environment()
    folder = Path(environment["SP_INSTANCE"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cleanup.enter_context(only_demo_of(folder))

    sp_wish, idp_wish = wished_port("DEMO_SP_PORT", 5000), wished_port("DEMO_IDP_PORT", 5001)
    sp_port = choose_port("The gateway", sp_wish, avoid={idp_wish})
    idp_port = choose_port("The identity provider", idp_wish, avoid={sp_port})
    environment["SP_EXTERNAL_URL"] = f"http://{HOST}:{sp_port}"
    environment["IDP_EXTERNAL_URL"] = f"http://{HOST}:{idp_port}"

    idp = Program("identity provider", "idp", idp_port, folder / "idp.log", environment)
    sp = Program("gateway", "gateway", sp_port, folder / "sp.log", environment)
    say("Starting the identity provider and the gateway ...")
    for program in (idp, sp):
        program.start()
        cleanup.callback(program.stop)
    wait_until_healthy([idp, sp], stop)

    passwords = DemoPasswords(folder / "demo-credentials.json")
    create_people(passwords, environment, stop)
    say(introduction(sp.url, idp.url, passwords))
    if os.environ.get("OPEN", "") not in ("", "0"):
        open_browser(f"{sp.url}/")
    watch([idp, sp], stop)
    say("\nStopping both programs ...")


def stop_on_signals() -> Event:
    """Return the event that Ctrl-C, SIGTERM and a closed terminal set."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # the demo was started with nohup, so it must survive the end of its terminal
        signal.signal(number, lambda *_: stop.set())
    return stop


def demo_environment() -> dict[str, str]:
    """Return the environment of this process, changed so that both programs use the same instance folder.

    Without settings, the two programs exchange secrets and URLs through a file in this folder, so they must share it.
    """
    environment = dict(os.environ)
    names = ("SP_INSTANCE", "IDP_INSTANCE")
    folders = {Path(environment[name]).resolve() for name in names if environment.get(name)}
    if len(folders) > 1:
        raise DemoFailed("SP_INSTANCE and IDP_INSTANCE differ; a demo keeps both programs in one folder.")
    folder = folders.pop() if folders else Path("instance").resolve()
    environment.update(dict.fromkeys(names, str(folder)))
    for name in KEYS_OF_A_DEPLOYMENT:
        if environment.pop(name, None):
            say(f"{name} is set, which belongs to a real deployment; the demo starts without it.")
    for name in (*KEYS_OF_A_DEPLOYMENT, *STORES):
        environment.setdefault(name, "")  # overrides `.env`, which both programs also read
    return environment


@contextlib.contextmanager
def only_demo_of(folder: Path) -> Iterator[None]:
    """Keep *folder* locked inside this block, because two demos in one folder would overwrite each other's settings.

    The operating system releases the lock when this process ends, even after a crash.
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


def open_browser(url: str) -> None:
    """Open *url* in the user's browser. If there is no browser, print a message and continue."""
    import webbrowser

    if not webbrowser.open(url):
        say(f"No browser was found. Open {url} yourself.")


def introduction(url: str, idp_url: str, passwords: DemoPasswords) -> str:
    return f"""
Lychgate is running.

To connect a provider:
  1. Sign in as administrator at  {url}/login?no_sso
     {ADMINISTRATOR}   password  {passwords.password(ADMINISTRATOR)}
  2. Open the settings  {url}/settings/sso/jwt

To try a sign-in:
  Open  {url}/
  {PERSON}   password  {passwords.password(PERSON)}   group staff
  {OTHER_PERSON}    password  {passwords.password(OTHER_PERSON)}   group sales
  {DISABLED_PERSON}     password  {passwords.password(DISABLED_PERSON)}   disabled

Tour  {url}/tour
Identity provider of the demo  {idp_url}/
Passwords  {passwords.path}

Ctrl-C stops both programs."""
