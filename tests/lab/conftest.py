"""Service providers of other people, for the attacks of the lab."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.forging import key_for
from lab.ports import free_port
from lab.pytest_plugin import (
    lychgate,
    lychgate_programs,
    sso_idp,
    sso_idp_program,
    sso_service,
    sso_service_programs,
)

SERVICES = Path(__file__).parent / "services"
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
__all__ = [  # the fixtures; an installation finds them by itself
    "lychgate",
    "lychgate_programs",
    "sso_idp",
    "sso_idp_program",
    "sso_service",
    "sso_service_programs",
]
PUBLIC_PEM = key_for("RS256").public_pem


@contextmanager
def running(command: Sequence[str], port: int, env: Mapping[str, str], log: Path) -> Iterator[str]:
    """Run a server, wait until it listens, and return its origin."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen:\n{log.read_text(errors='replace')}")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def with_jose(hole: str, folder: Path) -> Iterator[str]:
    """Run the service on jose, RS256."""
    packages = ROOT / ".venv" / "node"
    if shutil.which("node") is None or not (packages / "node_modules" / "jose").is_dir():
        pytest.skip("no Node.js with the library jose; tools/node-packages installs it")
    port = free_port()
    env = {"KEY": PUBLIC_PEM, "HOLE": hole, "NODE_PACKAGES": str(packages.resolve())}
    with running(["node", str(SERVICES / "node" / "service.mjs"), str(port)], port, env, folder / "node.log") as url:
        yield f"{url}/jwt"


@contextmanager
def with_php(hole: str, folder: Path) -> Iterator[str]:
    """Run the service in PHP, RS256."""
    if shutil.which("php") is None:
        pytest.skip("no PHP on this machine; tools/system-packages installs it")
    port = free_port()
    env = {"KEY": PUBLIC_PEM, "HOLE": hole, "STATE": str(folder)}
    command = ["php", "-d", "display_errors=0", "-S", f"127.0.0.1:{port}", str(SERVICES / "php" / "service.php")]
    with running(command, port, env, folder / "php.log") as url:
        yield f"{url}/jwt"
