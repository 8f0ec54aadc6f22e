"""Measure how long a worker takes to start, how much memory it then uses, and how long a command takes.

Each measurement runs in a new process. The times are processor time. All modules are compiled before the measurement.
"Bare Flask" is an application with one view, which Flask's own client calls. The memory is compared with that of bare
Flask, and the time with the import of Flask. The worker's row names the packages that take most of the time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.timing import PAIRS, Row

COMMANDS = (
    ("users", "list"),
    ("providers", "list"),
    ("explain", "GET", "/"),
    ("config", "check"),
    ("activity", "list"),
    ("inspect", "--help"),
    ("doctor", "--help"),
)
FLASK = "import flask; app = flask.Flask('x'); app.route('/')(lambda: 'x'); app.test_client().get('/')"
LOADED = """
from shared.collecting import nothing_to_collect
with nothing_to_collect():  # as run_sp.py loads it
    import sp.gateway
    gateway = sp.create_wsgi()
"""
WORKER = LOADED + "gateway.own.test_client().get('/healthz')"
IMPORTS = {"flask": "import flask", "worker": LOADED}
MEMORY = "; print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
NAMED = 8  # packages in the note


def rows() -> list[Row]:
    """Measure a worker against bare Flask, and each command."""
    with tempfile.TemporaryDirectory() as folder:
        environ = _environ(Path(folder))
        _finds_the_application(environ)
        flask, worker = (_seconds((sys.executable, "-c", code), environ) for code in IMPORTS.values())
        memory = [_kibibytes(code, environ) for code in (WORKER, FLASK)]
        costs = _packages(IMPORTS["worker"], environ)
        commands = {
            " ".join(command): _seconds((sys.executable, "-m", "flask", "--app", "sp", *command), environ)
            for command in COMMANDS
        }
    slowest = max(commands, key=lambda name: commands[name])
    told = ", ".join(f"{name} {took / 1000:.0f} ms" for name, took in costs.most_common(NAMED))
    return [
        Row("processor time until a worker is ready, of that to import Flask", worker / flask, "x", 3, at_most=True,
            note=f"{1000 * worker:.0f} and {1000 * flask:.0f} ms; {told}"),
        Row("a worker's memory above that of bare Flask", (memory[0] - memory[1]) / 1024, "MiB", 40, at_most=True,
            note=f"{memory[0] / 1024:.0f} and {memory[1] / 1024:.0f} MiB"),
        Row(f"processor time of the slowest command: {slowest}", commands[slowest], "s", 1, at_most=True,
            note=", ".join(f"{name} {took:.2f}" for name, took in commands.items())),
    ]  # fmt: skip


def _environ(folder: Path) -> dict[str, str]:
    environ = {
        **os.environ,
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": "k" * 48,
        "SP_EXTERNAL_URL": "http://127.0.0.1:5000",
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
    }
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


def _finds_the_application(environ: Mapping[str, str]) -> None:
    """Check that a worker with a secret key that is too short does not start (the negative control).

    This function also runs everything once, which compiles all modules and creates the database.
    """
    refused = subprocess.run((sys.executable, "-c", WORKER), env={**environ, "SP_SECRET_KEY": "k"}, capture_output=True)
    if refused.returncode == 0:
        raise AssertionError("a worker started with a secret key that is too short")
    for code in (WORKER, FLASK):
        subprocess.run((sys.executable, "-c", code), env=environ, check=True, capture_output=True)
    for command in COMMANDS:
        subprocess.run((sys.executable, "-m", "flask", "--app", "sp", *command), env=environ, capture_output=True)


def _seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Return the median of the processor time of a process."""
    took = []
    for _round in range(PAIRS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environ, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(took)


def _kibibytes(code: str, environ: Mapping[str, str]) -> int:
    done = subprocess.run((sys.executable, "-c", code + MEMORY), env=environ, capture_output=True, check=True)
    return int(done.stdout)


def _packages(code: str, environ: Mapping[str, str]) -> Counter[str]:
    """Return the microseconds that each package's own modules took to import (`python -X importtime`)."""
    done = subprocess.run((sys.executable, "-X", "importtime", "-c", code), env=environ, capture_output=True, text=True)
    found: Counter[str] = Counter()  # of microseconds
    for line in done.stderr.splitlines():
        own, _bar, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdigit():
            found[rest.rpartition("|")[2].strip().partition(".")[0]] += int(own)
    return found
