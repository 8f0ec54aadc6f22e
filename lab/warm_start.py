"""Start processes as forks of a process that has already imported the programs, in a tenth of the time.

Python needs a second or more of processor time to import a program. Most tests that start a program do not test the
import. So one process imports both programs and waits, and each start is a fork of this process. The fork sets
environment, folder, arguments and standard streams as for a new process, and runs the script as `python SCRIPT` does.
Some settings of the interpreter cannot be changed in a fork. If a start needs such a change, `fits` returns False, and
the caller starts a new process.

All these processes end with the process of the tests, even if that process is killed. The waiting process notices this
and ends, and then Linux sends a signal to the forks.
"""

from __future__ import annotations

import atexit
import ctypes
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

BELOW = __name__.removesuffix("lab.warm_start")  # prefix of our packages: empty, or `lychgate.` when installed
IMPORTED = ("shared.serving", "sp.gateway", "sp.app", "sp.cli", "sp.sample_app", "idp", "flask.cli")
READ_BY_PYTHON_ITSELF = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_")  # variables that Python reads only at its start
SET_BY_US = ("PYTHONPATH", "PYTHONUNBUFFERED")
OWN_GROUP_SECONDS = 10
PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Start:
    """A program to run, with its arguments and streams.

    *script* is the path of a file, or the name of a module if *is_module* is true.
    """

    script: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    output: Path
    errors: Path | None = None
    typed: Path | None = None
    is_module: bool = False


class WarmProcess:
    """A process that `start` forked, with methods like those of `subprocess.Popen`."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid: int = process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status, or None as long as it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM, if it still runs."""
        self._process.terminate()


def fits(env: Mapping[str, str], imported_from: Path) -> bool:
    """Tell whether a fork of our process would behave like a new process with *env*."""
    names = {name for name in (*env, *os.environ) if name.startswith(READ_BY_PYTHON_ITSELF) and name not in SET_BY_US}
    same = all(env.get(name) == os.environ.get(name) for name in names)
    return same and env.get("PYTHONPATH", "").split(os.pathsep)[0] == str(imported_from)


def start(what: Start) -> WarmProcess:
    """Run *what* in a new process, which leads a new process group; return at once."""
    process = _forks().Process(target=_run, args=(what,), daemon=True)
    process.start()
    _wait_for_own_group(process)
    return WarmProcess(process)


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name if name == "flask.cli" else BELOW + name for name in IMPORTED])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)  # the path for its imports
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def _wait_for_own_group(process: ForkServerProcess) -> None:
    """Wait until the process has its own process group, so that a signal to the group reaches only it."""
    deadline = time.monotonic() + OWN_GROUP_SECONDS
    while process.exitcode is None and time.monotonic() < deadline:
        try:
            if os.getpgid(process.pid or 0) == process.pid:
                return
        except ProcessLookupError:
            return
        time.sleep(0.001)


def _run(what: Start) -> None:
    """Become the process that *what* describes, and end with its exit status. Its own forks end here too."""
    _end_with_parent()
    os.setsid()
    _set_streams(what)
    os.environ.clear()
    os.environ.update(what.env)
    time.tzset()
    os.chdir(what.folder)
    first = str(what.folder) if what.is_module else str(Path(what.script).parent)
    sys.path[:] = [first, *_entries(what.env), *(entry for entry in sys.path if _is_pythons(entry))]
    sys.argv[:] = [what.script, *what.arguments]
    run: Callable[..., object] = runpy.run_module if what.is_module else runpy.run_path
    os._exit(
        _status_of(lambda: run(what.script, run_name="__main__", **({"alter_sys": True} if what.is_module else {})))
    )


def _end_with_parent() -> None:
    """Ask Linux for a SIGTERM when the waiting process ends, and let the waiting process end with the tests."""
    alive = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if isinstance(alive, int):
        os.close(alive)  # while this is open, the waiting process assumes that the tests are running
        forkserver._forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _set_streams(what: Start) -> None:
    typed = os.open(what.typed or os.devnull, os.O_RDONLY)
    output = os.open(what.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    errors = os.open(what.errors, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if what.errors else output
    for number, opened in enumerate((typed, output, errors)):
        os.dup2(opened, number)
    for opened in {typed, output, errors}:
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = _stream(0, "r"), _stream(1, "w"), _stream(2, "w")
    sys.stderr.reconfigure(errors="backslashreplace")


def _stream(number: int, mode: str) -> io.TextIOWrapper:
    """Open a standard stream; output is unbuffered, as with PYTHONUNBUFFERED."""
    raw = io.FileIO(number, mode, closefd=False)
    return io.TextIOWrapper(io.BufferedReader(raw)) if mode == "r" else io.TextIOWrapper(raw, write_through=True)


def _entries(env: Mapping[str, str]) -> list[str]:
    return [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _is_pythons(entry: str) -> bool:
    return entry.startswith((sys.prefix, sys.base_prefix))


def _status_of(run: Callable[[], object]) -> int:
    """Return the exit status of Python after *run* and its exit handlers."""
    try:
        run()
        status = 0
    except SystemExit as end:
        status = _exit_status(end.code)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
