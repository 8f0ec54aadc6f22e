"""Define the settings of a program. A secret setting may be read from a separate file.

If a variable begins with the program's prefix but is not a setting, that is an error, so that no misspelled name is
overlooked. For example, if SP_TRUSTED_PROXIES is misspelled, the gateway trusts no proxy; if SP_SECRET_KEY is
misspelled, it starts as a demo. Kubernetes sets variables with this prefix for a Service called `sp` or `idp`;
docs/deploying.md says how to stop that.

Pure code, except that it reads the files of secrets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from shared.settings import Environment

FILE = "_FILE"  # suffix of a variable that has the path of a file with the secret
IN_FILE = "file:"  # a secret `file:PATH` is read from that file
MAX_BYTES = 65_536  # limit for the file of a secret


@dataclass(frozen=True)
class SettingNames:
    """The settings of one program, with their descriptions. *secret* has the secret settings, *plain* all others.

    Each name begins with *prefix*.
    """

    prefix: str
    plain: Mapping[str, str]
    secret: Mapping[str, str]

    def environment(self, values: Mapping[str, str]) -> Environment:
        """Return *values*, with the content of a secret's file if it has one.

        Record an error if the file cannot be read or its content is invalid, or if a secret is set directly and by a
        file.
        """
        environment = Environment(values)
        for name in sorted(self.secret):
            try:
                environment.values[name] = _secret(name, values)
            except ValueError as why:
                environment.values[name] = ""
                environment.mistake(name, str(why))
        return environment

    def unknown(self, values: Mapping[str, str], asked_for: Collection[str] = ()) -> list[str]:
        """Return an error for each name in *values* that begins with the prefix but is not a setting.

        Names in *asked_for* are also allowed: configuration files refer to these variables.
        """
        known = {*self.plain, *self.secret, *(name + FILE for name in self.secret)}
        return [
            f"{name} is not a setting of this program{_hint(name, known)}"
            for name in sorted(values)
            if name.startswith(self.prefix) and name not in known and name not in asked_for
        ]


def _hint(name: str, known: Collection[str]) -> str:
    nearest = get_close_matches(name, sorted(known), n=1)
    return f": did you mean {nearest[0]}?" if nearest else ""


def _secret(name: str, values: Mapping[str, str]) -> str:
    """Return the secret *name* from *values* or from its file. Raises ValueError with the reason."""
    given, path = values.get(name, "").strip(), values.get(name + FILE, "").strip()
    if given and path:
        raise ValueError(f"and {name}{FILE} are both set: keep one of them")
    if given.startswith(IN_FILE):
        path = given.removeprefix(IN_FILE)
    elif not path:
        return given
    return _content(path)


def _content(path: str) -> str:
    """Return the content of the file at *path*, without white space around it."""
    try:
        with Path(path).open("rb") as file:
            octets = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read from the file {path}: {error.strerror}") from error
    if len(octets) > MAX_BYTES:
        raise ValueError(f"cannot be read from the file {path}: it has more than {MAX_BYTES} bytes")
    try:
        content = octets.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot be read from the file {path}: it is not UTF-8 text") from error
    if not content or "\0" in content:
        raise ValueError(f"cannot be read from the file {path}: it {'contains a NUL' if content else 'is empty'}")
    return content
