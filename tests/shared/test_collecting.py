"""What a program has loaded is never looked through for garbage; what it makes later is."""

import gc
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lab.ports import free_port
from lab.programs import ROOT, private_environment
from shared.collecting import nothing_to_collect
from tests.shared.test_worker import accepts
from tests.support.waiting import wait_until

SECONDS = 20
SERVER = """
import gc, sys
from shared.serving import Server, serve

def load():
    collects = gc.isenabled()
    loaded = [[]]
    def answer(environ, start_response):
        later = [[]]
        found = [any(one is seen for seen in gc.get_objects()) for one in (loaded, later)]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr((collects, gc.isenabled(), *found)).encode()]
    return answer

serve(Server(load, f"127.0.0.1:{sys.argv[1]}"))
"""


def test_a_worker_collects_only_what_is_made_after_it_has_loaded(tmp_path: Path) -> None:
    script, port = tmp_path / "server.py", free_port()
    script.write_text(SERVER)
    environ = private_environment({"PYTHONPATH": str(ROOT)})
    process = subprocess.Popen([sys.executable, str(script), str(port)], env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port))
        answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=SECONDS)
        assert answer.text == "(False, True, False, True)"
    finally:
        process.terminate()
        process.wait(SECONDS)


def test_a_program_that_cannot_be_loaded_collects_again() -> None:
    try:
        with pytest.raises(ZeroDivisionError), nothing_to_collect():
            _ = 1 / gc.isenabled()
        assert gc.isenabled()
    finally:
        gc.unfreeze()
