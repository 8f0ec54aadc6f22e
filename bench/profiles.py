"""Show in which functions a part spends most of its time, measured by cProfile in this process, without a server.

Only the thread of the request is profiled. If this thread waits for another thread, the profile shows the wait as a
line. A sign-in is timed by the clock, because it waits for the disk. All other parts are timed by processor time.
cProfile makes calls look slower than they are, so the first line gives the processor time of a request without
cProfile.
"""

from __future__ import annotations

import cProfile
import importlib
import logging
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from bench.gateways import VISIT, new_token
from bench.programs import ROOT
from bench.tokens import strict
from sp.gateway import Gateway
from tests.support.gateway import URL, core_of, make_gateway

REQUESTS = 200
LINES = 14
KEY = "k" * 48
Answer = tuple[str, list[tuple[str, str]], bytes]
Request = Callable[[], EnvironBuilder]


def profile_of(part: str) -> list[str]:
    """Return the functions of *part* that took most time, and the database statements that did, if they were measured.

    If *part* has no profile, no functions are returned. The list is empty if there are no statements either.
    """
    lines = []
    if part == "tokens":
        lines = _lines([strict("HS256").verify] * 2 * REQUESTS, time.thread_time)
    elif kind := KINDS.get(part):
        with _gateway() as gateway:
            request = kind(gateway)
            actions = [partial(_ask, gateway, request().get_environ()) for _ in range(2 * REQUESTS)]
            lines = _lines(actions, time.perf_counter if kind is _sign_in else time.thread_time)
    if statements := getattr(importlib.import_module(f"bench.{part}"), "costliest", None):
        lines += ["the statements that took most time in the database:", *statements]
    return lines


def _lines(actions: Sequence[Callable[[], object]], clock: Callable[[], float]) -> list[str]:
    first, rest = actions[:REQUESTS], actions[REQUESTS:]
    began = time.thread_time()
    for action in first:
        action()
    alone = (time.thread_time() - began) / len(first) * 1e6
    profile = cProfile.Profile(clock)
    profile.enable()
    for action in rest:
        action()
    profile.disable()
    return [
        f"in process, without a server: {alone:.0f} us of processor time a request",
        "  own us   all us  calls   (of a request, with cProfile)",
        *costliest_functions(profile, len(rest)),
    ]


def costliest_functions(profile: cProfile.Profile, requests: int, lines: int = LINES) -> Iterator[str]:
    """Yield a line for each of the functions that took most time by themselves."""
    found: dict[tuple[str, int, str], Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    dearest = sorted(found.items(), key=lambda each: -each[1][2])[:lines]
    for (file, line, name), (_, calls, own, everything, _) in dearest:
        place = name if file == "~" else f"{_short(file)}:{line} {name}"
        yield f"{own / requests * 1e6:8.1f} {everything / requests * 1e6:8.1f} {calls / requests:6.1f}   {place}"


def _short(file: str) -> str:
    path = Path(file)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else "/".join(path.parts[-3:])


@contextmanager
def _gateway() -> Iterator[Gateway]:
    logging.getLogger("lychgate").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        providers = {"bench": {"keys": [KEY], "unsolicited": "accept", "login_url": "http://127.0.0.1:9/"}}
        settings = {"SP_SESSION_CACHE": "60", "SP_TRUSTED_PROXIES": "127.0.0.1"}
        own = make_gateway(Path(folder), providers, **settings)
        yield Gateway(_application, own)
        core_of(own).database.engine.dispose()


def _application(_environ: object, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reached"]


def _sign_in(_gateway: Gateway) -> Request:
    return lambda: EnvironBuilder("/sso/login/jwt", URL, method="POST", data={"jwt": new_token(KEY)})


def _question(gateway: Gateway) -> Request:
    headers = Headers({"X-Original-URL": f"{URL}{VISIT}", "X-Original-Method": "GET", "Cookie": _cookie(gateway)})
    return lambda: EnvironBuilder("/sso/auth/nginx", URL, headers=headers)


def _page(gateway: Gateway) -> Request:
    headers = Headers({"Cookie": _cookie(gateway)})
    return lambda: EnvironBuilder("/reports", URL, headers=headers)


def _cookie(gateway: Gateway) -> str:
    _status, headers, _body = _ask(gateway, _sign_in(gateway)().get_environ())
    return next(value.partition(";")[0] for name, value in headers if name == "Set-Cookie")


def _ask(gateway: Gateway, environ: Any) -> Answer:
    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
        told[:] = [status, headers]
        return lambda _octets: None

    environ.setdefault("REMOTE_ADDR", "127.0.0.1")
    body = b"".join(gateway(environ, start_response))
    if told[0][:3] not in ("200", "303") or "/error" in dict(told[1]).get("Location", ""):
        raise AssertionError(f"an answer that was not expected: {told}")
    return told[0], told[1], body


# The request to the gateway, by the name of the part
KINDS: dict[str, Callable[[Gateway], Request]] = {
    "signin": _sign_in,
    "postgresql": _sign_in,
    "recording": _sign_in,
    "forward_auth": _question,
    "proxies": _question,
    "percentiles": _question,
    "served": _page,
    "gateway": _page,
}
PROFILES = ("tokens", *KINDS)  # the parts that have a profile
