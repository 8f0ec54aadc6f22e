"""A process that was forked from one with the programs imported is like one that Python started by itself."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.ports import free_port
from lab.programs import ROOT, RunningProgram, private_environment
from lab.warm_start import Start, fits, start

SECONDS = 60
WHAT_IT_SEES = """
import atexit, json, os, sys
atexit.register(print, "the end")
print(json.dumps({"arguments": sys.argv, "folder": os.getcwd(), "name": __name__, "path": sys.path[0],
    "typed": sys.stdin.read(), "group": os.getpgid(0) == os.getpid(), "session": os.getsid(0) == os.getpid(),
    "environment": {k: v for k, v in os.environ.items() if k.startswith("SEEN")},
    "main": sys.modules["__main__"].__file__}))
"""


def run_warm(script: Path, folder: Path, env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    output, errors = folder / "output", folder / "errors"
    process = start(Start(str(script), arguments, env, folder, output, errors))
    return process.wait(SECONDS), output.read_text(), errors.read_text()


def run_cold(script: Path, folder: Path, env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        start_new_session=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("run", [run_warm, run_cold])
def test_a_script_sees_arguments_folder_variables_and_a_group_of_its_own(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(WHAT_IT_SEES)
    status, output, errors = run(script, tmp_path, private_environment({"SEEN": "yes"}), "--port", "1")
    seen, end = output.splitlines()
    assert (status, errors, end) == (0, "", "the end")
    assert json.loads(seen) == {
        "arguments": [str(script), "--port", "1"],
        "folder": str(tmp_path),
        "name": "__main__",
        "path": str(tmp_path),
        "typed": "",
        "group": True,
        "session": True,
        "environment": {"SEEN": "yes"},
        "main": str(script),
    }


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("pass", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit('no such thing')", 1, "no such thing\n"),
        ("raise ValueError('broken')", 1, "ValueError: broken\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("import os; os.fork() and os.wait()", 0, ""),
    ],
)
@pytest.mark.parametrize("run", [run_warm, run_cold])
def test_it_ends_as_a_process_of_its_own_does(
    run: Callable[..., tuple[int, str, str]], code: str, status: int, said: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(code)
    ended, output, errors = run(script, tmp_path, private_environment({}))
    assert (ended, output) == (status, "")
    assert errors.endswith(said)
    assert bool(errors) == bool(said)


def test_it_has_imported_the_programs_before_it_begins(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print('sp.app' in sys.modules, 'idp' in sys.modules)")
    assert run_warm(script, tmp_path, private_environment({}))[1] == "True True\n"
    assert run_cold(script, tmp_path, private_environment({}))[1] == "False False\n"


@pytest.mark.parametrize(
    "other",
    [
        {"PYTHONPATH": ""},
        {"PYTHONPATH": "/elsewhere"},
        {"PYTHONHASHSEED": "1"},
        {"LD_PRELOAD": "/usr/lib/libfaketime.so"},
        {"LC_ALL": "tr_TR"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_a_fork_cannot_change_is_started_cold(other: dict[str, str]) -> None:
    assert fits(private_environment({}), ROOT)
    assert not fits(private_environment(other), ROOT)


STARTS_ONE_AND_WAITS = """
import sys, time
from pathlib import Path
from lab import warm_start
from lab.programs import private_environment
warm_start.IMPORTED = ()
folder = Path(sys.argv[1])
(folder / "output").touch()
script = folder / "script.py"
script.write_text("import os, signal; print(os.getpid(), os.getppid()); signal.pause()")
warm_start.start(warm_start.Start(str(script), (), private_environment({}), folder, folder / "output"))
while len((folder / "output").read_text().split()) < 2:
    time.sleep(0.01)
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to the children is Linux's")
def test_programs_end_with_tests_that_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS_ONE_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        assert tests.stdout.readline() == b"started\n"
        others = [os.pidfd_open(int(pid)) for pid in (tmp_path / "output").read_text().split()]
        tests.kill()
    running = [process for process in others if not has_ended(process)]
    for process in others:
        if process in running:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)
    assert running == []


@pytest.mark.parametrize("warm", [True, False])
def test_a_program_serves_and_stops_alike(warm: bool, tmp_path: Path) -> None:
    program = RunningProgram("run_sp.py", free_port(), tmp_path, {"SP_INSTANCE": str(tmp_path)}, warm=warm)
    with program:
        assert f"Listening on 127.0.0.1:{program.port}." in program.log
        (worker,) = program.worker_pids
        assert program.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.parametrize("warm", [True, False])
def test_killing_a_program_takes_its_workers(warm: bool, tmp_path: Path) -> None:
    program = RunningProgram("run_sp.py", free_port(), tmp_path, {"SP_INSTANCE": str(tmp_path)}, warm=warm)
    program.start()
    (worker,) = program.worker_pids
    program.kill()
    assert program.process is not None
    assert program.process.poll() == -signal.SIGKILL
    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{worker}").exists()


def has_ended(process: int) -> bool:
    """Wait for the end of a process by its descriptor, which may be beyond what select takes."""
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    return bool(waiting.poll(1000 * SECONDS))
