"""Real proxies, each with our own file, or with one mistake planted in it; and the gateway and echo behind them."""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab.ports import free_port
from lab.server import ServerThread
from sp.cli.doctor import chain_of
from sp.diagnosis.doctor.echo_server import serve
from sp.diagnosis.doctor.examination import examine
from sp.diagnosis.doctor.tickets import Tickets
from sp.diagnosis.inspector import Finding
from sp.gateway import Gateway
from sp.sample_app import create_welcome_app
from tests.examples import servers
from tests.support.gateway import core_of, make_gateway

FORWARD_AUTH = ("nginx", "caddy")
MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers", "rewrite", "reqtimeout", "alias", "unixd")
CORE_OF_APACHE = """
ServerRoot {folder}
ServerName 127.0.0.1
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
{modules}
"""


@dataclass(frozen=True)
class Planted:
    """A mistake in a configuration: *old* is replaced by *new*, as a regular expression. *also* is what it causes."""

    finding: str
    old: str
    new: str
    also: tuple[str, ...] = ()


class Behind:
    """What is behind the proxies: one gateway, and an echo in place of the application."""

    def __init__(self, folder: Path, trusted: str = "127.0.0.1") -> None:
        self.port = free_port()
        url = f"http://127.0.0.1:{self.port}"
        self.own = make_gateway(folder, SP_EXTERNAL_URL=url, SP_TRUSTED_PROXIES=trusted)
        core = core_of(self.own)
        self.gateway = ServerThread(Gateway(create_welcome_app(core), self.own))
        self.echo = serve("127.0.0.1", 0, Tickets(core.config.secret_keys, url))
        self.thread = threading.Thread(target=self.echo.serve_forever, daemon=True)

    @contextmanager
    def running(self) -> Iterator["Behind"]:
        self.gateway.start()
        self.thread.start()
        try:
            yield self
        finally:
            self.echo.shutdown()
            self.echo.server_close()
            self.gateway.stop()

    def examine(self, url: str = "") -> list[Finding]:
        return examine(chain_of(urlsplit(url or f"http://127.0.0.1:{self.port}"), core_of(self.own)))


@contextmanager
def proxy(name: str, behind: Behind, folder: Path, planted: Planted | None = None) -> Iterator[None]:
    """Run the proxy with our own file, changed as *planted* says."""
    binary = servers.find("apache2" if name == "apache" else name)
    if binary is None:
        pytest.skip(f"no {name} on this machine; tools/system-packages installs it")
    command, env = STARTERS[name](binary, behind, folder, planted)
    with servers.running(command, behind.port, folder, env):
        yield


def configuration(file: str, planted: Planted | None) -> str:
    text = (servers.EXAMPLES / file).read_text()
    if planted is None:
        return text
    changed = re.sub(planted.old, planted.new, text, flags=re.MULTILINE)
    assert changed != text, f"{file} has no {planted.old}"
    return changed


def with_ports(text: str, behind: Behind) -> str:
    gateway, echo = urlsplit(behind.gateway.url).port, behind.echo.server_address[1]
    ports = {"8080": behind.port, "5000": gateway, "8000": echo}
    return re.sub(r"127\.0\.0\.1:(8080|5000|8000)\b", lambda found: f"127.0.0.1:{ports[found[1]]}", text)


Started = tuple[Sequence[str], Mapping[str, str]]


def nginx(binary: str, behind: Behind, folder: Path, planted: Planted | None) -> Started:
    text = with_ports(configuration("nginx/nginx.conf", planted), behind)
    text = text.replace("/var/log/nginx", str(folder)).replace("/var/cache/nginx", str(folder))
    (folder / "example.conf").write_text(text)
    (folder / "nginx.conf").write_text(servers.AROUND.format(folder=folder))
    return [binary, "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/error.log"], {}


def caddy(binary: str, behind: Behind, folder: Path, planted: Planted | None) -> Started:
    text = configuration("caddy/Caddyfile", planted)
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{text}")
    env = {
        "LYCHGATE_SITE": f"http://127.0.0.1:{behind.port}",
        "LYCHGATE_GATEWAY": behind.gateway.url.removeprefix("http://"),
        "LYCHGATE_APPLICATION": f"127.0.0.1:{behind.echo.server_address[1]}",
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    return [binary, "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"], env


def haproxy(binary: str, behind: Behind, folder: Path, planted: Planted | None) -> Started:
    text = with_ports(configuration("haproxy/haproxy.cfg", planted), behind)
    (folder / "haproxy.cfg").write_text(text.replace("/dev/log", "127.0.0.1:9"))
    return [binary, "-db", "-f", f"{folder}/haproxy.cfg"], {}


def apache(binary: str, behind: Behind, folder: Path, planted: Planted | None) -> Started:
    modules = "/usr/lib/apache2/modules"
    loads = "\n".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so"
        for name in MODULES
        if os.path.exists(f"{modules}/mod_{name}.so")
    )
    text = with_ports(configuration("apache/lychgate.conf", planted), behind)
    (folder / "apache.conf").write_text(CORE_OF_APACHE.format(folder=folder, modules=loads) + text)
    return [binary, "-DFOREGROUND", "-f", f"{folder}/apache.conf"], {"APACHE_LOG_DIR": str(folder)}


STARTERS = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy, "apache": apache}
