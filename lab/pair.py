"""Run a real identity provider and a real gateway, connected to each other, each as a process.

Both programs are configured as an administrator would configure them, with TOML files and commands, and with new
secrets. To test an application, `lab.pytest_plugin` is faster, because it runs both programs in the test's process.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from lab.cast import ALICE, BOB, CAROL, MALLORY, Person
from lab.leaks import assert_no_secret_in
from lab.ports import free_port
from lab.programs import RunningProgram, flask_command, flask_commands

PROVIDER = "corporate"  # the name of the identity provider in the gateway's settings
SERVICE = "gateway"  # the name of the gateway in the identity provider's settings

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Pair:
    """Both programs, running, and the key that they share."""

    sp: RunningProgram
    idp: RunningProgram
    key: str
    sp_env: Mapping[str, str]
    idp_env: Mapping[str, str]

    def sp_command(self, *args: str, typed: str = "", check: bool = True) -> CompletedProcess[str]:
        """Run `flask --app sp …` with the settings and database of the running gateway."""
        return flask_command("sp", *args, env=self.sp_env, folder=self.sp.folder, typed=typed, check=check)

    def idp_command(self, *args: str, typed: str = "", check: bool = True) -> CompletedProcess[str]:
        """Run `flask --app idp …` with the settings and database of the running identity provider."""
        return flask_command("idp", *args, env=self.idp_env, folder=self.idp.folder, typed=typed, check=check)


@contextmanager
def running_pair(
    folder: Path,
    *,
    provider: Settings | None = None,
    service: Settings | None = None,
    rules: Sequence[Settings] = (),
    sites: Mapping[str, Settings] | None = None,
    sp_env: Mapping[str, str] | None = None,
    idp_env: Mapping[str, str] | None = None,
    sp_args: Sequence[str] = (),
    idp_args: Sequence[str] = (),
    people: Sequence[Person] = (ALICE, BOB, MALLORY),
    ports: tuple[int, int] | None = None,
    public_urls: tuple[str, str] | None = None,
) -> Iterator[Pair]:
    """Run a gateway and an identity provider in *folder*, connected to each other.

    *provider* adds or replaces single settings of the identity provider at the gateway. *service* does the same with
    the settings of the gateway at the identity provider. *sp_env* and *idp_env* add or replace environment variables.
    *sites* are further sites of the gateway by name. *people* get accounts at the identity provider; Bob's account is
    disabled. Carol is an administrator of the gateway.

    *ports* and *public_urls* are for tests with a proxy in front of the programs. Each has two values: the first is for
    the gateway, and the second for the identity provider. At the end the logs are searched: they must not contain a
    token, a key or a password.
    """
    key = secrets.token_urlsafe(48)
    sp_port, idp_port = ports or (free_port(), free_port())
    sp_url, idp_url = public_urls or (f"http://127.0.0.1:{sp_port}", f"http://127.0.0.1:{idp_port}")

    the_provider: dict[str, object] = {
        "preset": "strict",
        "display_name": "Corporate sign-in",
        "default": True,
        "keys": [key],
        "login_url": f"{idp_url}/login-token/",
        "logout_url": f"{idp_url}/logout",
        "issuer": {"expected": idp_url, "match": True, "required": True},
        "audience": {"expected": sp_url, "match": True, "required": True},
    }
    the_service: dict[str, object] = {
        "preset": "lychgate",
        "display_name": "The gate",
        "return_url": f"{sp_url}/sso/login/jwt",
        "keys": [key],
        "issuer": idp_url,
        "audience": sp_url,
        "backchannel_logout_url": f"{sp_url}/sso/logout/backchannel",
    }
    sp_toml = "".join(table("[rules]", rule) for rule in rules)
    sp_toml += table(f"providers.{PROVIDER}", the_provider | dict(provider or {}))
    sp_toml += "".join(table(f"sites.{name}", site) for name, site in (sites or {}).items())
    idp_toml = table(f"services.{SERVICE}", the_service | dict(service or {}))

    full_sp_env = program_environment("SP", folder / "sp", sp_url, sp_toml) | dict(sp_env or {})
    full_idp_env = program_environment("IDP", folder / "idp", idp_url, idp_toml) | dict(idp_env or {})
    sp = RunningProgram("run_sp.py", sp_port, folder / "sp", full_sp_env, sp_args, sp_url)
    idp = RunningProgram("run_idp.py", idp_port, folder / "idp", full_idp_env, idp_args, idp_url)
    pair = Pair(sp, idp, key, full_sp_env, full_idp_env)
    try:
        sp.start(wait=False)
        idp.start(wait=False)
        sp.wait_until_healthy()
        idp.wait_until_healthy()
        with ThreadPoolExecutor(2) as at_once:
            for work in [at_once.submit(add_people, pair, people), at_once.submit(add_administrator, pair)]:
                work.result()
        yield pair
        sp.stop()
        idp.stop()
        assert_no_secret_in(sp.log + idp.log, [key, *(person.password for person in (*people, CAROL))])
    finally:
        sp.kill()
        idp.kill()


def add_people(pair: Pair, people: Sequence[Person]) -> None:
    commands = []
    for person in people:
        groups = [argument for group in person.groups for argument in ("--group", group)]
        names = ["--given-name", person.given_name, "--family-name", person.family_name]
        add = ["users", "add", person.email, *names, *groups, "--password-stdin"]
        commands.append((add, f"{person.password}\n"))
        if person == BOB:
            commands.append((["users", "disable", BOB.email], ""))
    if commands:
        flask_commands("idp", commands, env=pair.idp_env, folder=pair.idp.folder)


def add_administrator(pair: Pair) -> None:
    pair.sp_command("users", "create-admin", CAROL.email, "--password-stdin", typed=f"{CAROL.password}\n")


def program_environment(prefix: str, folder: Path, url: str, toml: str) -> dict[str, str]:
    """Write the program's TOML file, and return the environment variables to start it with."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(toml)
    config.chmod(0o600)
    return {
        f"{prefix}_INSTANCE": str(folder),
        f"{prefix}_SECRET_KEY": secrets.token_urlsafe(48),
        f"{prefix}_EXTERNAL_URL": url,
        f"{prefix}_CONFIG": str(config),
    }


def table(name: str, settings: Settings) -> str:
    """Return a TOML table; mappings in it become inline tables."""
    lines = [f"{key} = {value(setting)}" for key, setting in settings.items()]
    return "\n".join([f"[{name}]", *lines, "", ""])


def value(setting: object) -> str:
    if isinstance(setting, Mapping):
        inside = ", ".join(f"{key} = {value(part)}" for key, part in setting.items())
        return f"{{ {inside} }}"
    if isinstance(setting, list | tuple):
        return f"[{', '.join(value(part) for part in setting)}]"
    # Booleans, numbers and strings are written the same in JSON and TOML.
    return json.dumps(setting, ensure_ascii=False)
