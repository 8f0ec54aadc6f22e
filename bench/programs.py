"""Start what is measured, each on a free port of this machine, and stop it again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int, environ: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run *command* until the block ends; it must listen on *port* within ten seconds."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SP_", "IDP_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**clean, "PYTHONPATH": str(ROOT), **environ}, stdout=output, stderr=output
        )
        try:
            _wait_for(port, process, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=40)


def python(*arguments: str) -> list[str]:
    """Return the command that runs Python with *arguments*."""
    return [sys.executable, *arguments]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the program did not start:\n{log.read_text()[-2000:]}")
