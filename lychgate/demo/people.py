"""Create the demo users with the commands of the gateway and the identity provider, and store their passwords."""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from lychgate.demo.outcome import DemoFailed, Stopped

PERSON = "alice@example.com"
OTHER_PERSON = "erin@example.com"  # is in another group than alice
DISABLED_PERSON = "bob@example.com"
ADMINISTRATOR = "carol@example.com"
GATEWAY = "flask --app sp"  # the beginning of every command of this program
IDENTITY_PROVIDER = "flask --app idp"
COMMAND_SECONDS = 60
OUTPUT_LINES = 20  # number of lines that are shown of the output of a command that failed
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that look alike, because people type passwords


class DemoPasswords:
    """The passwords of the demo users. They are stored, so every start in the same folder prints the same passwords."""

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
        """Return the password of this user. A new password is saved to disk before it is used."""
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


@dataclass(frozen=True)
class Account:
    """An account of the demo: the program that has it, and the commands that create it or set a new password."""

    app: str
    email: str
    create: tuple[str, ...]
    renew: tuple[str, ...]
    afterwards: tuple[str, ...] = ()


def _person(email: str, given_name: str, family_name: str, group: str, *, disabled: bool = False) -> Account:
    names = ("--given-name", given_name, "--family-name", family_name, "--group", group)
    afterwards = ("users", "disable", email) if disabled else ()
    return Account(
        IDENTITY_PROVIDER, email, ("users", "add", email, *names), ("users", "set-password", email), afterwards
    )


ACCOUNTS = (
    _person(PERSON, "Alice", "Liddell", "staff"),
    _person(OTHER_PERSON, "Erin", "Hatter", "sales"),
    _person(DISABLED_PERSON, "Bob", "Carpenter", "staff", disabled=True),
    Account(
        GATEWAY,
        ADMINISTRATOR,
        ("users", "create-admin", ADMINISTRATOR),
        ("users", "create-admin", ADMINISTRATOR),
    ),
)


def create_people(passwords: DemoPasswords, environment: dict[str, str], stop: Event) -> None:
    """Create the demo users at the identity provider and the administrator at the gateway, if they do not exist.

    If the file with the passwords was lost, existing users get new passwords.
    """
    apps = (IDENTITY_PROVIDER, GATEWAY)
    with ThreadPoolExecutor(len(ACCOUNTS)) as pool:  # each command loads a program, which takes about a second
        listings = dict(
            zip(apps, pool.map(lambda app: command(app, ["users", "list", "--json"], environment), apps), strict=True)
        )
        if stop.is_set():
            raise Stopped
        due: list[tuple[Account, tuple[str, ...], str]] = []
        for account in ACCOUNTS:
            exists = is_listed(account.email, listings[account.app])
            if not exists or not passwords.known(account.email):
                due.append((account, account.renew if exists else account.create, passwords.password(account.email)))
        list(pool.map(partial(make, environment), due))


def make(environment: dict[str, str], job: tuple[Account, tuple[str, ...], str]) -> None:
    """Create the account of *job*, or set its password."""
    account, arguments, password = job
    command(account.app, [*arguments, "--password-stdin"], environment, typed=password)
    if account.afterwards:
        command(account.app, list(account.afterwards), environment)


def is_listed(email: str, listing: str) -> bool:
    """Tell whether the JSON *listing* contains this e-mail address as a whole string, in any letter case."""
    return re.search(f'"{re.escape(email)}"', listing, re.IGNORECASE) is not None


def command(app: str, arguments: list[str], environment: dict[str, str], typed: str = "") -> str:
    """Run a command of the program *app* and return its output; raise DemoFailed if it failed."""
    shown = " ".join([app, *arguments])
    try:
        done = subprocess.run(
            [sys.executable, "-m", *app.split(), *arguments],
            env=environment,
            input=typed + "\n",
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            start_new_session=True,  # so that Ctrl-C does not interrupt it while it creates an account
        )
    except subprocess.TimeoutExpired:
        raise DemoFailed(f"`{shown}` did not finish within {COMMAND_SECONDS} seconds.") from None
    if done.returncode != 0:
        printed = (done.stderr or done.stdout).strip().splitlines()[-OUTPUT_LINES:]
        said = "\n".join(f"  {line}" for line in printed)
        raise DemoFailed(f"`{shown}` failed with status {done.returncode}:\n{said}")
    return done.stdout
