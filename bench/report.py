"""Write the results of a run: a page for each version, with a chart, and the list of these pages.

The page describes the machine and how busy it was, the peers and their versions, the noise of each row, and the profile
of each part that missed a target.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bench.chart import chart
from bench.programs import ROOT
from bench.timing import MISSED, VOID, Row
from shared.version import VERSION

RESULTS = ROOT / "bench" / "results"
LIBRARIES = (
    *("Flask", "Flask-Login", "Flask-SQLAlchemy", "SQLAlchemy", "Flask-JWT-Extended", "Authlib", "PyJWT"),
    *("gunicorn", "granian", "joserfc", "cryptography", "psycopg"),
)
SBIN = ":/usr/sbin:/usr/local/sbin"
PROGRAMS = {  # the command that prints the version of each
    "nginx": ("nginx", "-v"),
    "Apache": ("apache2", "-v"),
    "mod_auth_openidc": ("dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-auth-openidc"),
    "LemonLDAP::NG": ("dpkg-query", "-W", "-f", "${Version}", "lemonldap-ng-fastcgi-server"),
    "PostgreSQL": ("psql", "--version"),
    "Node.js": ("node", "--version"),
    "wrk": ("wrk", "-v"),
}
NUMBER = re.compile(r"\d+\.\d+[\w.+~-]*")


@dataclass
class Run:
    """The results of a run: rows and profiles by part, and how busy the machine was before the run."""

    rounds: int
    titles: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    profiles: dict[str, list[str]] = field(default_factory=dict)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def every_row(self) -> list[Row]:
        """The rows of all parts."""
        return [row for rows in self.rows.values() for row in rows]


def write(run: Run, folder: Path = RESULTS) -> Path:
    """Write the page of this version, its chart, and the list of pages. Return the page."""
    folder.mkdir(exist_ok=True)
    (folder / f"{VERSION}.svg").write_text(chart(run.every_row, VERSION), encoding="utf-8")
    page = folder / f"{VERSION}.md"
    page.write_text("\n".join(_page(run)) + "\n", encoding="utf-8")
    versions = sorted((path.stem for path in folder.glob("*.md") if path.stem != "README"), reverse=True)
    listed = [f"- [{version}]({version}.md)" for version in versions]
    text = ["# Results", "", "A page for each version, written by `python -m bench --write`.", "", *listed]
    (folder / "README.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return page


def _page(run: Run) -> list[str]:
    lines = [f"# Benchmarks of version {VERSION}", "", *_circumstances(run), "", f"![{VERSION}]({VERSION}.svg)", ""]
    for part, rows in run.rows.items():
        lines += [f"## {part}", "", run.titles.get(part, ""), "", *_table(rows), ""]
        if profile := run.profiles.get(part):
            lines += ["Where the time goes:", "", "```text", *profile, "```", ""]
    return [*lines, *_peers()]


def _circumstances(run: Run) -> list[str]:
    count = {name: sum(row.verdict == name for row in run.every_row) for name in (MISSED, VOID)}
    return [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, {run.rounds} rounds. {hardware()}, Python "
        f"{platform.python_version()}. The load of the machine was {run.load_before:.1f} before the run and "
        f"{os.getloadavg()[0]:.1f} at its end, the run itself included. "
        f"{len(run.every_row)} rows, of which {count[MISSED]} missed their target and {count[VOID]} are void.",
    ]


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| row | measured | lowest to highest | target | |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        measured = "" if row.reason else f"{row.value:.3g} {row.unit}".strip()
        note = "; ".join(part for part in (row.void, row.note) if part)
        verdict = f"**{row.verdict}**" if row.verdict in (MISSED, VOID) else row.verdict
        line = f"| {row.name} | {measured} | {row.noise} | {_target(row)} | {verdict} {note} |"
        lines.append(re.sub(r" us\b", " µs", line))
    return lines


def _target(row: Row) -> str:
    if math.isinf(row.wanted):
        return ""
    return f"at {'most' if row.at_most else 'least'} {row.wanted:g} {row.unit}".strip()


def hardware() -> str:
    """Return processors, memory and system in a few words."""
    found = re.search(r"model name\s*: (.+)", _text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _text("/proc/meminfo"))
    size = f", {int(memory[1]) / 2**20:.0f} GiB" if memory else ""
    return f"{os.cpu_count()} processors ({found[1] if found else platform.machine()}){size}, {platform.platform()}"


def _peers() -> list[str]:
    found: dict[str, str] = {}
    for name in LIBRARIES:
        found[name] = metadata.version(name)
    for name, command in PROGRAMS.items():
        found[name] = _version(command)
    package = json.loads((ROOT / "bench" / "peers" / "node" / "package.json").read_text(encoding="utf-8"))
    listed: Mapping[str, str] = {**found, **package["dependencies"]}
    return ["## Versions", "", ", ".join(f"{name} {version}" for name, version in listed.items() if version) + "."]


def _version(command: tuple[str, ...]) -> str:
    program = shutil.which(command[0], path=os.environ.get("PATH", "") + SBIN)
    if program is None:
        return ""
    said = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    number = NUMBER.search(said.stdout + said.stderr)
    return number[0] if number else ""


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
