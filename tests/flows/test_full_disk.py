"""/readyz reports a full disk or a file size limit, while /healthz still answers; later /readyz recovers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.ports import free_port
from lab.programs import ROOT, RunningProgram, private_environment
from shared.disk import BELIEVED

PROGRAMS = {"sp": "SP", "idp": "IDP"}
WAIT = 60  # seconds: the result is cached for a while, and the machine may be busy

# Asks a program in this process, then with a limit on the size of files that its log has reached, and then without.
LIMITED = """
import importlib, resource, sys
from pathlib import Path
from shared import disk
disk.BELIEVED = 0
ask = importlib.import_module(sys.argv[1]).create_app().test_client().get
print(ask("/readyz").status_code)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
print(ask("/readyz").status_code, ask("/healthz").status_code, ask("/readyz").text)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(ask("/readyz").status_code)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", folder], capture_output=True)
    if mount.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_full_disk_is_seen_and_so_is_its_end(program: str, small_disk: Path, tmp_path: Path) -> None:
    env = {f"{PROGRAMS[program]}_INSTANCE": str(small_disk)}
    with RunningProgram(f"run_{program}.py", free_port(), tmp_path / "work", env) as running:
        assert wait_for(running, 200)["status"] == "ready"
        fill(small_disk / "filler")
        assert "the disk is full" in wait_for(running, 503)["missing"][0]
        assert httpx.get(f"{running.url}/healthz", trust_env=False).status_code == 200
        (small_disk / "filler").unlink()
        wait_for(running, 200)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_limit_that_no_free_space_shows_is_seen_by_writing(program: str, tmp_path: Path) -> None:
    env = private_environment({f"{PROGRAMS[program]}_INSTANCE": str(tmp_path)})
    command = [sys.executable, "-c", LIMITED, program, str(tmp_path / f"{program}.sqlite3")]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=WAIT)
    lines = [line for line in done.stdout.splitlines() if line[:3].isdigit()]
    assert lines[0] == lines[2] == "200", done.stdout + done.stderr
    assert lines[1].startswith("503 200"), done.stdout + done.stderr


def wait_for(program: RunningProgram, status: int) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT
    while (answer := httpx.get(f"{program.url}/readyz", trust_env=False, timeout=WAIT)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(BELIEVED / 10)
    found: dict[str, Any] = answer.json()
    return found


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            os.fsync(file.fileno())
