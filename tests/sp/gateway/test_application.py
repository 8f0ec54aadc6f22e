"""The application that SP_APP names: imported where it is served, and refused with a sentence where it cannot be."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from lab.pair import program_environment
from lab.ports import free_port
from lab.programs import ROOT, RunningProgram
from sp.gateway import Gateway
from tests.sp.gateway.gate import make_gate

ANYONE = '[[rules]]\npath = "/"\nallow = "anyone"\neverything = true\n'
SECONDS = 10

# A thread that is started at import does the work, as with a2wsgi, Sentry, gRPC and schedulers.
THREADED = """
import os, queue, threading
questions, answers = queue.Queue(), queue.Queue()
def work():
    while True:
        questions.get()
        answers.put(str(os.getpid()).encode())
threading.Thread(target=work, daemon=True).start()
def app(environ, start_response):
    questions.put(None)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answers.get(timeout=5)]
"""
FACTORY = """
def create_app():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"made by the factory"]
    return app
"""


def program(folder: Path, app: str, text: str, *args: str) -> RunningProgram:
    """Return a gateway in front of *app*, which lies in the module shop with the source *text*."""
    (folder / "shop.py").write_text(text)
    port = free_port()
    env = program_environment("SP", folder, f"http://127.0.0.1:{port}", ANYONE)
    env |= {"SP_APP": app, "PYTHONPATH": f"{ROOT}:{folder}"}
    return RunningProgram("run_sp.py", port, folder, env, args)


def test_threads_that_an_application_starts_at_import_live_in_the_worker(tmp_path: Path) -> None:
    with program(tmp_path, "shop:app", THREADED) as running:
        answer = httpx.get(running.url, trust_env=False, timeout=SECONDS)
        assert answer.status_code == 200
        assert int(answer.text) != running.pid


# a2wsgi starts its event loop in a thread when the module is imported.
WITH_A2WSGI = """
import os
from a2wsgi import ASGIMiddleware
async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
app = ASGIMiddleware(asgi)
"""


def test_an_asgi_application_within_a2wsgi_answers_in_each_worker(tmp_path: Path) -> None:
    with program(tmp_path, "shop:app", WITH_A2WSGI, "--workers", "2") as running:
        for _ in range(8):
            answer = httpx.get(running.url, trust_env=False, timeout=SECONDS)
            assert answer.status_code == 200
            assert int(answer.text) != running.pid


def test_a_factory_is_called_in_each_worker(tmp_path: Path) -> None:
    with program(tmp_path, "shop:create_app()", FACTORY, "--workers", "2", "--threads", "3") as running:
        assert httpx.get(running.url, trust_env=False, timeout=SECONDS).text == "made by the factory"


ASGI = "async def app(scope, receive, send):\n    pass\n"
ASGI_OBJECT = "class App:\n    async def __call__(self, scope, receive, send):\n        pass\napp = App()\n"


@pytest.mark.parametrize(
    ("app", "text", "said"),
    [
        ("nowhere:app", "", "No module named 'nowhere'"),
        ("shop:app", "", "has no attribute 'app'"),
        ("shop:app", "import missing_thing", "No module named 'missing_thing'"),
        ("shop:app", "app = 1 / 0", "ZeroDivisionError: division by zero (shop.py, line 1)"),
        ("shop:app", "def app(:", "SyntaxError"),
        ("shop:app", "import sys\nsys.exit(7)", "SystemExit: 7"),
        ("shop:app", "app = 5", "cannot be called"),
        ("shop:app", ASGI, "lychgate.AsgiGateway"),
        ("shop:app", ASGI_OBJECT, "ASGI"),
        ("shop:create_app", FACTORY, "shop:create_app()"),
        ("shop:create_app()", "def create_app(config):\n    pass", "create_app"),
        ("shop:create_app()", "def create_app():\n    pass", "cannot be called"),
        ("shop:create_app()", f"{ASGI}def create_app():\n    return app", "ASGI"),
    ],
)
def test_what_is_not_a_wsgi_application_is_refused_at_start(tmp_path: Path, app: str, text: str, said: str) -> None:
    refused = program(tmp_path, app, text, "--workers", "2")
    refused.start(wait=False)
    try:
        assert refused.wait(30) == 2
    finally:
        refused.kill()
    assert said in refused.log
    assert refused.log.count(f"SP_APP {app}") == 1
    assert "Traceback" not in refused.log


# The first worker comes last, as it may on a busy machine.
FIRST_IS_LAST = """
import os, time
from pathlib import Path
parent = os.getppid()
if Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0] == str(os.getpid()):
    time.sleep(3)
app = None
"""


def test_workers_that_fail_before_the_first_one_leave_it_to_that_to_say_why(tmp_path: Path) -> None:
    refused = program(tmp_path, "shop:app", FIRST_IS_LAST, "--workers", "2")
    refused.start(wait=False)
    try:
        assert refused.wait(30) == 2
    finally:
        refused.kill()
    assert refused.log.count("SP_APP shop:app") == 1, refused.log


def test_a_worker_that_is_replaced_while_the_application_is_broken_does_not_end_the_server(tmp_path: Path) -> None:
    with program(tmp_path, "shop:create_app()", FACTORY) as running:
        (tmp_path / "shop.py").write_text("broken")
        kill_workers(running.pid, signal.SIGKILL)
        wait_for_log(running, "SP_APP shop:create_app()")
        (tmp_path / "shop.py").write_text(FACTORY)
        running.wait_until_healthy()
        assert httpx.get(running.url, trust_env=False, timeout=SECONDS).text == "made by the factory"


def kill_workers(parent: int, number: int) -> None:
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        os.kill(int(child), number)


def wait_for_log(running: RunningProgram, text: str) -> None:
    deadline = time.monotonic() + 3 * SECONDS
    while text not in running.log:
        assert time.monotonic() < deadline, running.log
        time.sleep(0.05)


async def coroutine(_scope: object, _receive: object, _send: object) -> None:
    """Be an ASGI application."""


class AsgiObject:
    """Be another one."""

    async def __call__(self, _scope: object, _receive: object, _send: object) -> None:
        """Do nothing."""


def factory() -> Sequence[bytes]:
    """Take no arguments."""
    return []


@pytest.mark.parametrize(
    "app", [None, 5, coroutine, AsgiObject(), factory], ids=["none", "number", "coroutine", "asgi object", "factory"]
)
def test_in_process_too_what_is_not_a_wsgi_application_is_refused(tmp_path: Path, app: object) -> None:
    own = make_gate(tmp_path).gateway.own
    with pytest.raises(TypeError, match="WSGI"):
        Gateway(app, own)  # type: ignore[arg-type]


class Application:
    """A WSGI application in the manner of PEP 3333: the class itself is called."""

    def __init__(self, environ: object, start_response: object) -> None:
        """Take what WSGI gives."""


@pytest.mark.parametrize(
    "app", [Application, dict, print, lambda *both: both], ids=["class", "dict", "built-in", "lambda"]
)
def test_what_may_be_a_wsgi_application_is_taken(tmp_path: Path, app: object) -> None:
    own = make_gate(tmp_path).gateway.own
    assert Gateway(app, own).app is app  # type: ignore[arg-type]


# As where SIGTERM comes between the fork of a worker and its first instruction.
OTHERS_ARE_DEAF = """
import os, signal, time
from pathlib import Path
parent = os.getppid()
if Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0] != str(os.getpid()):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(f"deaf-{os.getpid()}").touch()
else:
    until = time.monotonic() + 20
    while len(list(Path().glob("deaf-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
app = None
"""


def test_a_worker_that_missed_the_signal_to_end_does_not_keep_the_server_from_saying_why(tmp_path: Path) -> None:
    refused = program(tmp_path, "shop:app", OTHERS_ARE_DEAF, "--workers", "3")
    refused.start(wait=False)
    try:
        assert refused.wait(25) == 2  # gunicorn itself would kill the others after 30 seconds
    finally:
        refused.kill()
    assert refused.log.count("SP_APP shop:app") == 1, refused.log
