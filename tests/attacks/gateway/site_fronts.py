"""The recipes for several sites as they lie in examples/, each with its real proxy, on free ports."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.ports import free_port
from tests.doctor.proxies import CORE_OF_APACHE, MODULES
from tests.examples import servers

HOSTS = {"home": b"app.example.org", "wiki": b"wiki.example.org", "shop": b"shop.example.com"}
FORWARD_AUTH = {"nginx": "nginx/sites.conf", "caddy": "caddy/sites.Caddyfile"}
IN_PROCESS = {"haproxy": "haproxy/sites.cfg", "apache": "apache/sites.conf"}
FILES = {**FORWARD_AUTH, **IN_PROCESS}


@dataclass(frozen=True)
class Behind:
    """The ports of the gateway and of the applications by site."""

    gateway: int
    applications: Mapping[str, int]


@contextmanager
def front(name: str, behind: Behind, folder: Path) -> Iterator[int]:
    """Run a proxy; yield its port."""
    binary = servers.find("apache2" if name == "apache" else name)
    if binary is None:
        pytest.skip(f"no {name} on this machine; tools/system-packages installs it")
    port, file = free_port(), folder / Path(FILES[name]).name
    file.write_text(configuration(name, port, behind, folder))
    commands = {
        "nginx": [binary, "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/error.log"],
        "caddy": [binary, "run", "--config", str(file), "--adapter", "caddyfile"],
        "haproxy": [binary, "-db", "-f", str(file)],
        "apache": [binary, "-DFOREGROUND", "-f", str(file)],
    }
    (folder / "nginx.conf").write_text(servers.AROUND.format(folder=folder).replace("example.conf", file.name))
    with servers.running(commands[name], port, folder, environment(port, behind, folder)):
        yield port


def configuration(name: str, port: int, behind: Behind, folder: Path) -> str:
    """Return the file with free ports, and with folders that a test does not share."""
    home, wiki, shop = (behind.applications[site] for site in HOSTS)
    ports = {"8080": port, "5000": behind.gateway, "8000": home, "8001": wiki, "8002": shop}
    text = (servers.EXAMPLES / FILES[name]).read_text()
    if name == "caddy":
        return f"{{\n\tadmin off\n}}\n{text}"  # several Caddys on one machine would share the admin port
    text = re.sub(r"127\.0\.0\.1:(\d{4})\b", lambda found: f"127.0.0.1:{ports[found[1]]}", text)
    text = text.replace("/var/log/nginx", str(folder)).replace("/dev/log", "127.0.0.1:9")
    if name == "apache":
        modules = Path("/usr/lib/apache2/modules")
        present = [module for module in MODULES if (modules / f"mod_{module}.so").exists()]
        loads = "\n".join(f"LoadModule {module}_module {modules}/mod_{module}.so" for module in present)
        return CORE_OF_APACHE.format(folder=folder, modules=loads) + text
    return text


def environment(port: int, behind: Behind, folder: Path) -> dict[str, str]:
    """Return the variables that the files of Caddy and Apache read."""
    own = {f"LYCHGATE_{site.upper()}": f"127.0.0.1:{number}" for site, number in behind.applications.items()}
    return own | {
        "LYCHGATE_SITES": ", ".join(f"http://{host.decode()}:{port}" for host in HOSTS.values()),
        "LYCHGATE_GATEWAY": f"127.0.0.1:{behind.gateway}",
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "APACHE_LOG_DIR": str(folder),
    }
