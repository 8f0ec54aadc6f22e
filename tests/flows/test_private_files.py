"""Only their owner can read the files of the programs, from the first byte on, with any umask of the shell."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab.ports import free_port
from lab.programs import RunningProgram, flask_command

PROGRAMS = {"sp": "SP", "idp": "IDP"}


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def settings(program: str, folder: Path) -> dict[str, str]:
    return {f"{PROGRAMS[program]}_INSTANCE": str(folder)}


def open_to_others(folder: Path) -> list[str]:
    """Return what is open to others of a folder and all that lies in it."""
    return [
        f"{path.relative_to(folder.parent)} {stat.S_IMODE(path.stat().st_mode):04o}"
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_writes_is_closed_to_others_while_it_runs(program: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    port = free_port()
    with RunningProgram(f"run_{program}.py", port, tmp_path, settings(program, state)) as running:
        assert httpx.get(f"{running.url}/readyz", trust_env=False).status_code == 200
        assert {f"{program}.sqlite3", f"{program}.sqlite3-wal", f"{program}.sqlite3-shm", "demo.json"} <= {
            path.name for path in state.iterdir()
        }
        assert open_to_others(state) == []
        if program == "sp":  # the workers keep their counters there
            assert "lychgate_" in httpx.get(f"{running.url}/metrics", trust_env=False).text
            assert list((state / f"metrics-{port}").iterdir())
    assert "open to other users" not in running.log


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_command_line_writes_is_closed_to_others(program: str, tmp_path: Path) -> None:
    flask_command(program, "users", "list", env=settings(program, tmp_path / "state"), folder=tmp_path)
    assert (tmp_path / "state" / f"{program}.sqlite3").exists()
    assert open_to_others(tmp_path / "state") == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_start_warns_of_a_folder_and_a_database_that_others_can_read(program: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / f"{program}.sqlite3").touch()
    with RunningProgram(f"run_{program}.py", free_port(), tmp_path, settings(program, state)) as running:
        pass
    assert f"{state} is open to other users of this machine (mode 0777): chmod 700 {state}" in running.log
    assert f"chmod 600 {state}/{program}.sqlite3*" in running.log
