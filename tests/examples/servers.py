"""The servers of the examples, as private processes on free ports; each runs the very file that lies in examples/."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.programs import ROOT, private_environment

EXAMPLES = ROOT / "examples"
START_SECONDS = 30
STOP_SECONDS = 15
# What Debian's own nginx.conf gives, and a test may not share with it.
AROUND = """
daemon off;
master_process off;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/example.conf;
}}
"""


@contextmanager
def gunicorn(module: str, port: int, folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run an application in the way that its docstring says."""
    said = re.search(r"gunicorn (.+)$", (EXAMPLES / module / "app.py").read_text(), re.MULTILINE)
    assert said, "the example does not say how it is started"
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4", *said[1].split()]
    with running(command, port, folder, env):
        yield


@contextmanager
def application(port: int, folder: Path) -> Iterator[None]:
    """Run the application that does not know the gateway."""
    with running([sys.executable, str(EXAMPLES / "behind_a_proxy" / "app.py"), "--port", str(port)], port, folder, {}):
        yield


@contextmanager
def nginx(binary: str, port: int, gateway: int, behind: int, folder: Path, *, caching: bool = False) -> Iterator[None]:
    """Run nginx with the example; with *caching*, as it is when the #5s are taken away."""
    text = with_ports((EXAMPLES / "nginx" / "nginx.conf").read_text(), port, gateway, behind)
    text = text.replace("/var/log/nginx", str(folder)).replace("/var/cache/nginx", str(folder))
    (folder / "example.conf").write_text(text.replace("#5s ", "") if caching else text)
    file = folder / "nginx.conf"
    file.write_text(AROUND.format(folder=folder))
    command = [binary, "-c", str(file), "-p", str(folder), "-e", str(folder / "error.log")]
    with running(command, port, folder, {}):
        yield


@contextmanager
def caddy(binary: str, port: int, gateway: int, behind: int, folder: Path) -> Iterator[None]:
    """Run Caddy with the example, without its admin port, because several Caddys on one machine would share it."""
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n}\n" + (EXAMPLES / "caddy" / "Caddyfile").read_text())
    env = {
        "LYCHGATE_SITE": f"http://127.0.0.1:{port}",
        "LYCHGATE_GATEWAY": f"127.0.0.1:{gateway}",
        "LYCHGATE_APPLICATION": f"127.0.0.1:{behind}",
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with running([binary, "run", "--config", str(file), "--adapter", "caddyfile"], port, folder, env):
        yield


def with_ports(text: str, port: int, gateway: int, behind: int) -> str:
    """Return a configuration whose ports are replaced by free ones."""
    for own, free in (("8080", port), ("5000", gateway), ("8000", behind)):
        assert f"127.0.0.1:{own};" in text
        text = text.replace(f"127.0.0.1:{own};", f"127.0.0.1:{free};")
    return text


def find(name: str) -> str | None:
    """Return a server of the machine."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def running(command: Sequence[str], port: int, folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Run *command* during the `with` block, which begins when *port* accepts connections."""
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "server.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=private_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(port, process, log_file)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"Nobody listens on {port}:\n{log_file.read_text(errors='replace')}")
