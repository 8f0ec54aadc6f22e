"""The steps of a sign-in that the docstring of `sp.signin` lists are those that run, in that order."""

import inspect
import re
import sys
import time
from importlib import import_module
from types import CodeType, FrameType
from typing import Any

from werkzeug.exceptions import NotFound
from werkzeug.test import Client

import sp.signin
from lab.cast import ALICE
from lab.minting import mint
from sp.gateway import Gateway
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY

STEP = re.compile(r"^(\d)\. (.*?)(?=^\d\. |^$)", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`([a-z_.]+\.[A-Za-z_.]+)`")


def named() -> list[tuple[int, str]]:
    """Return the dotted names of the docstring, each with the number of its step."""
    steps = STEP.findall(sp.signin.__doc__ or "")
    assert [int(number) for number, _text in steps] == list(range(1, 10))
    return [(int(number), name) for number, text in steps for name in NAME.findall(text)]


def meant(name: str) -> Any:
    """Return what *name* means, in `sp.signin` or as a whole name."""
    parts = (name if name.startswith(("sp.", "shared.")) else f"sp.signin.{name}").split(".")
    depth = max(n for n in range(1, len(parts) + 1) if is_module(".".join(parts[:n])))
    found: Any = import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)
    return found


def is_module(name: str) -> bool:
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def test_every_name_in_the_list_of_steps_exists() -> None:
    assert len([meant(name) for _step, name in named()]) > 10


def test_the_listed_steps_run_in_their_order(gateway: MakeGateway) -> None:
    """Steps 1 to 7 by their first call. The commit ends `together` of step 6, and step 9 is the end of step 4."""
    functions = [(step, meant(name)) for step, name in named() if step <= 7]
    listed: dict[CodeType, str] = {
        function.__code__: f"{step} {function.__qualname__}"
        for step, function in functions
        if inspect.isfunction(function)
    }
    called: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        name = listed.get(frame.f_code)
        if event == "call" and name is not None and name not in called:
            called.append(name)

    own = gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}})
    client, now = Client(Gateway(NotFound(), own)), int(time.time())
    token = mint({"iat": now, "exp": now + 60, "jti": "of the steps", "email": ALICE.email}, KEY)
    sys.setprofile(note)
    try:
        answer = client.get("/sso/login/jwt", query_string={"jwt": token}, base_url="http://127.0.0.1:5000/")
    finally:
        sys.setprofile(None)
    assert answer.status_code == 303
    assert called == list(listed.values())
    assert len(called) == 17
