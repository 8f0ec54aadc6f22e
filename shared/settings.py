"""Read settings from an environment and from TOML, and report every error at once.

After an error, a reader records it and continues, so that an operator can correct all errors together. At the end
`finish` raises an exception if there were errors. Only the `config.py` of each program reads settings from the process
environment.

Pure code, except that `read_toml` reads files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import click

LEAST_SECRET = 32  # characters
WHOLE_NUMBER = re.compile(r"[0-9]{1,10}\Z")  # with more digits, a time so many seconds from now would overflow
WIDEST_NETWORK = {4: 8, 6: 7}  # for trusted proxies: 10.0.0.0/8 and fc00::/7 are the widest private networks
Network = IPv4Network | IPv6Network


class SettingsRefused(click.ClickException):
    """The program cannot start. `mistakes` has one line for each error.

    A command prints these lines and ends with status 2, as `flask` does with click's own exceptions.
    """

    exit_code = 2

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the errors."""
        click.echo(str(self), file=file, err=file is None)

    def __str__(self) -> str:
        return "\n".join(["The settings have errors:", *(f"  - {mistake}" for mistake in self.mistakes)])


class Environment:
    """Settings by name. Each method returns a parsed value, or records an error and returns the default."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.mistakes: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return the text, without white space around it. An empty text counts as missing."""
        return self.values.get(name, "").strip() or default

    def whole(self, name: str, default: int, *, at_least: int = 0) -> int:
        """Return a whole number."""
        text = self.text(name)
        if not text:
            return default
        if not WHOLE_NUMBER.match(text) or int(text) < at_least:
            self.mistake(name, f"must be a whole number, {at_least} or more, of at most 10 digits")
            return default
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of *choices*, the first one by default."""
        text = self.text(name, choices[0])
        if text not in choices:
            self.mistake(name, f"must be one of: {', '.join(c or '(empty)' for c in choices)}")
            return choices[0]
        return text

    def origin(self, name: str, default: str) -> str:
        """Return scheme://host[:port], without a path."""
        text = self.text(name, default).rstrip("/")
        if not is_origin(text):
            self.mistake(name, "must be http://host or https://host, optionally with a port, and without a path")
            return default
        return text

    def networks(self, name: str) -> tuple[Network, ...]:
        """Return a comma-separated list of IP addresses and networks of trusted proxies, none of them too broad."""
        found: list[Network] = []
        for part in filter(None, (part.strip() for part in self.text(name).split(","))):
            try:
                network = ip_network(part)
            except ValueError:
                self.mistake(name, f"{part!r} is not an IP address or network")
                continue
            if network.prefixlen == 0:
                self.mistake(name, f"{part!r} would trust every IP address: list your own proxies")
                continue
            if network.prefixlen < WIDEST_NETWORK[network.version]:
                self.mistake(name, f"'{network}' is too broad: list your own proxies")
            found.append(network)
        return tuple(found)

    def secret(self, name: str, default: str = "") -> str:
        """Return a secret key of 32 characters or more. No error message contains its value."""
        text = self.text(name, default)
        if text and len(text) < LEAST_SECRET:
            self.mistake(name, f"must have {LEAST_SECRET} characters or more; make one with: openssl rand -base64 48")
        return text

    def secrets(self, name: str) -> tuple[str, ...]:
        """Return secrets, separated by commas or line ends, each of 32 characters or more."""
        found = tuple(filter(None, (part.strip() for part in re.split(r"[,\n]", self.text(name)))))
        if any(len(secret) < LEAST_SECRET for secret in found):
            self.mistake(name, f"must have {LEAST_SECRET} characters or more in each key, like the main one")
        return found

    def mistake(self, name: str, why: str) -> None:
        """Record an error in the setting *name*."""
        self.mistakes.append(f"{name} {why}")

    def finish(self) -> None:
        """Raise SettingsRefused if there was any error."""
        if self.mistakes:
            raise SettingsRefused(self.mistakes)


def read_toml(path: Path, lookup: Callable[[str], str | None]) -> dict[str, Any]:
    """Return the content of the TOML file at *path*. The texts `env:NAME` and `file:PATH` are replaced by their values.

    *lookup* returns the environment variable of a name, or None. Raises SettingsRefused.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsRefused([f"{path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused([f"{path}: is not valid TOML: {error}"]) from error
    mistakes: list[str] = []

    def resolve(value: Any, where: str) -> Any:
        if isinstance(value, dict):
            return {name: resolve(item, f"{where}.{name}" if where else name) for name, item in value.items()}
        if isinstance(value, list):
            return [resolve(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, str) and value.startswith("env:"):
            found = lookup(value[4:])
            if found is None:
                mistakes.append(f"{path}: {where}: the environment variable {value[4:]} is not set")
            return found
        if isinstance(value, str) and value.startswith("file:"):
            try:
                return (path.parent / value[5:]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                mistakes.append(f"{path}: {where}: the file {value[5:]} cannot be read")
                return None
        return value

    resolved: dict[str, Any] = resolve(document, "")
    if mistakes:
        raise SettingsRefused(mistakes)
    return resolved


def is_origin(text: str) -> bool:
    """Tell whether *text* is scheme://host[:port], without a path, a query or a fragment."""
    return is_web_url(text) and urlsplit(text)._replace(scheme="", netloc="").geturl() == ""


def is_web_url(text: str) -> bool:
    """Tell whether *text* is an absolute http(s) URL in printable ASCII, without user name or fragment."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not parts.fragment
        and port != 0
    )


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine: localhost, a name below it, 127.0.0.0/8 or ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_network(host.strip("[]")).is_loopback
    except ValueError:
        return False
