"""Start the measured programs, each on a free port of this machine, stop them, and read their processor time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 30  # on a busy machine, the imports of a program take several seconds
CPUCLOCK_SCHED = 2  # of Linux: the clock that counts a process's time on the processors, all threads included


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], place: int | Path, environ: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run *command* until the block ends, and yield its process ID.

    Within START_SECONDS, the program must listen on *place*, which is a port or a socket file. Otherwise this function
    raises RuntimeError.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "IDP_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**clean, "PYTHONPATH": str(ROOT), **environ}, stdout=output, stderr=output
        )
        try:
            _wait_for(place, process, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(timeout=40)


def python(*arguments: str) -> list[str]:
    """Return the command that runs Python with *arguments*."""
    return [sys.executable, *arguments]


def processor_seconds(pid: int) -> float:
    """Return the processor time, in seconds, that a program and its child processes have used so far."""
    seconds = 0.0
    for each in processes(pid):
        with suppress(OSError):  # it has just ended
            seconds += time.clock_gettime((~each << 3) | CPUCLOCK_SCHED)
    return seconds


def processes(pid: int) -> list[int]:
    """Return *pid* and the IDs of its child processes, their child processes, and so on."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def _wait_for(place: int | Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _connect(place)
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the program did not start:\n{log.read_text()[-2000:]}")


def _connect(place: int | Path) -> None:
    if isinstance(place, int):
        socket.create_connection(("127.0.0.1", place), 0.2).close()
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(place))
