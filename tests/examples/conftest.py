"""One identity provider, and the four examples, each with its own gateway, started when a test first needs it."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cast import ALICE
from lab.pair import PROVIDER, Pair, program_environment, running_pair, table
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.examples import servers

RULE = {"path": "/public/", "allow": "anyone"}


@dataclass(frozen=True)
class Example:
    """An example that runs: where people reach it, and where its gateway listens."""

    name: str
    url: str
    gateway: str


@pytest.fixture(scope="package")
def idp_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """An identity provider, and a gateway behind nginx."""
    public, idp = free_port(), free_port()
    with running_pair(
        tmp_path_factory.mktemp("examples"),
        rules=[RULE],
        provider={"login_url": f"http://127.0.0.1:{idp}/login-token/?service=gateway"},
        sp_env={"SP_TRUSTED_PROXIES": "127.0.0.1"},
        people=[ALICE],
        ports=(free_port(), idp),
        public_urls=(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{idp}"),
    ) as pair:
        yield pair


@pytest.fixture(scope="package")
def started(idp_pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Example]]:
    """Return the function that starts an example, unless it runs already."""
    found: dict[str, Example] = {}
    with ExitStack() as stack:

        def start(name: str) -> Example:
            if name not in found:
                found[name] = STARTERS[name](name, idp_pair, tmp_path_factory.mktemp(name), stack)
            return found[name]

        yield start


def start_in_process(name: str, pair: Pair, folder: Path, stack: ExitStack) -> Example:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = introduce(name, url, pair, folder)
    stack.enter_context(servers.gunicorn(name, port, folder, env))
    return Example(name, url, url)


def start_nginx(name: str, pair: Pair, folder: Path, stack: ExitStack) -> Example:
    binary = found_or_skipped("nginx")
    behind, port = free_port(), int(pair.sp.public_url.rpartition(":")[2])
    stack.enter_context(servers.application(behind, folder / "app"))
    stack.enter_context(servers.nginx(binary, port, pair.sp.port, behind, folder))
    return Example(name, pair.sp.public_url, pair.sp.own_url)


def start_caddy(name: str, pair: Pair, folder: Path, stack: ExitStack) -> Example:
    binary = found_or_skipped("caddy")
    port, behind, gateway = free_port(), free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    env = introduce(name, url, pair, folder / "sp") | {"SP_TRUSTED_PROXIES": "127.0.0.1"}
    stack.enter_context(RunningProgram("run_sp.py", gateway, folder / "sp", env))
    stack.enter_context(servers.application(behind, folder / "app"))
    stack.enter_context(servers.caddy(binary, port, gateway, behind, folder))
    return Example(name, url, f"http://127.0.0.1:{gateway}")


def introduce(name: str, url: str, pair: Pair, folder: Path) -> dict[str, str]:
    """Make the gateway at *url* and the identity provider known to each other; return the gateway's environment."""
    key = secrets.token_urlsafe(48)
    provider = {
        "preset": "strict",
        "default": True,
        "keys": [key],
        "login_url": f"{pair.idp.url}/login-token/?service={name}",
        "logout_url": f"{pair.idp.url}/logout",
        "issuer": {"expected": pair.idp.url, "match": True, "required": True},
        "audience": {"expected": url, "match": True, "required": True},
    }
    service = {
        "preset": "lychgate",
        "display_name": name,
        "return_url": f"{url}/sso/login/jwt",
        "keys": [key],
        "issuer": pair.idp.url,
        "audience": url,
    }
    file = folder.parent / f"{folder.name}-service.toml"
    file.write_text(table(f"services.{name}", service))
    file.chmod(0o600)
    pair.idp_command("services", "apply", str(file))
    return program_environment("SP", folder, url, table("[rules]", RULE) + table(f"providers.{PROVIDER}", provider))


def found_or_skipped(server: str) -> str:
    binary = servers.find(server)
    if binary is None:
        pytest.skip(f"no {server} on this machine; tools/system-packages installs it")
    return binary


STARTERS = {
    "flask_app": start_in_process,
    "django_app": start_in_process,
    "nginx": start_nginx,
    "caddy": start_caddy,
}
