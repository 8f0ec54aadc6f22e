"""Every WSGI and ASGI server that the gateway is attacked on, each with its own defaults."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.programs import ROOT, private_environment

START_SECONDS = 60
BIN = Path(sys.executable).parent
PROTECTED_ASGI = "tests.attacks.gateway.protected_asgi:application"
PROTECTED, BARE = "tests.attacks.gateway.protected:application", "tests.attacks.gateway.victim:telling"

WERKZEUG = """
import importlib, sys
from werkzeug.serving import run_simple
module, name = sys.argv[1].split(":")
run_simple("127.0.0.1", int(sys.argv[2]), getattr(importlib.import_module(module), name), threaded=True)
"""


def command(server: str, target: str, port: int) -> Sequence[str]:
    """Return how *server* is started on *port* with the application *target*."""
    module, _colon, name = target.partition(":")
    commands: Mapping[str, Sequence[str]] = {
        "ours": [sys.executable, str(ROOT / "run_sp.py"), "--port", str(port)],
        "werkzeug": [sys.executable, "-c", WERKZEUG, target, str(port)],
        "gunicorn": [str(BIN / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--threads", "4", target],
        "waitress": [str(BIN / "waitress-serve"), "--listen", f"127.0.0.1:{port}", target],
        "granian": [str(BIN / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), target],
        "cheroot": [str(BIN / "cheroot"), "--bind", f"127.0.0.1:{port}", target],
        "uwsgi": [str(BIN / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--module", module, "--callable", name,
                  "--need-app", "--threads", "4", "--die-on-term", "--http-keepalive"],
        "uvicorn": [*UVICORN, "--port", str(port), target],
        "hypercorn": [str(BIN / "hypercorn"), "--bind", f"127.0.0.1:{port}", target],
        "granian-asgi": [str(BIN / "granian"), "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
                         target],
    }  # fmt: skip
    return commands[server]


WSGI_SERVERS = ("ours", "werkzeug", "gunicorn", "waitress", "granian", "cheroot", "uwsgi")
ASGI_SERVERS = ("uvicorn", "hypercorn", "granian-asgi")
SERVERS = (*WSGI_SERVERS, *ASGI_SERVERS)
IMPORTED_AS = {"ours": "gunicorn", "uwsgi": "pyuwsgi", "granian-asgi": "granian"}
# The documents say --no-proxy-headers: by default uvicorn believes X-Forwarded-For of this machine.
UVICORN = (str(BIN / "uvicorn"), "--host", "127.0.0.1", "--no-proxy-headers", "--log-level", "warning")


@contextmanager
def running(server: str, target: str, folder: Path, env: Mapping[str, str]) -> Iterator[int]:
    """Run *server* with *target*; yield its port."""
    if importlib.util.find_spec(IMPORTED_AS.get(server, server)) is None:
        pytest.skip(f"{server} is not installed: no package of it for this Python and machine")
    folder.mkdir(parents=True, exist_ok=True)
    port, log_file = free_port(), folder / f"{server}.log"
    if server == "ours":
        env = {"SP_APP": BARE, **env}
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            command(server, target, port),
            cwd=folder,
            env=private_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(port, process, log_file)
        yield port
    finally:
        end(process)


def wait_for(port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    """Return when something listens on *port*; raise with the log if the process ends before."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"it does not listen:\n{log_file.read_text()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
