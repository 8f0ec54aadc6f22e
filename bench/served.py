"""Compare a protected Flask page with the same page unprotected or protected by others, in requests per second.

The page runs on two servers. One is our own: run_sp.py is compared with the same server without a gateway. The other is
granian, because it hides least of the difference between the pages. The peers run on granian.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.gateways import start_gateway
from bench.load import answer, requests_per_second
from bench.programs import free_port, python, running
from bench.timing import Row, in_turns

APP = "bench.peers.protected"
SHIPPED, GRANIAN = "as shipped", "granian"
FORGED = f"sp_session={'x' * 43}"
WANTED = (
    (SHIPPED, "unprotected", 0.93),
    (GRANIAN, "unprotected", 0.90),
    (GRANIAN, "flask_login", 4.0),
    (GRANIAN, "jwt_extended", 2.0),
    (GRANIAN, "authlib_client", 1.0),
)


@dataclass(frozen=True)
class Served:
    """A running page and the cookie that opens it."""

    url: str
    cookie: str
    is_open: bool = False  # to everyone

    def rate(self) -> float:
        """Return the requests per second of this page."""
        return requests_per_second(self.url, self.cookie)


def rows() -> Iterator[Row]:
    """Measure all pages, in turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        pages = _shipped(stack, here)
        for kind in ("unprotected", "ours", "flask_login", "jwt_extended", "authlib_client"):
            pages[GRANIAN, kind] = _on_granian(stack, here, kind)
        for page in pages.values():
            _check(page)
        rates = in_turns({name: page.rate for name, page in pages.items()})
    for server, peer, least in WANTED:
        ours, theirs = rates[server, "ours"], rates[server, peer]
        note = f"ours {ours:.0f}/s, theirs {theirs:.0f}/s"
        yield Row(f"a page protected by us, times {peer} ({server})", ours / theirs, "x", least, note=note)


def _shipped(stack: ExitStack, here: Path) -> dict[tuple[str, str], Served]:
    gateway = start_gateway(stack, here / "shipped", SP_APP=f"{APP}:unprotected()")
    port = free_port()
    command = python("-m", "bench.peers.bare", "--port", str(port))
    stack.enter_context(running(command, port, {"BENCH_APP": f"{APP}:unprotected"}, here / "bare.log"))
    return {
        (SHIPPED, "ours"): Served(f"http://127.0.0.1:{gateway.port}/reports", gateway.cookie),
        (SHIPPED, "unprotected"): Served(f"http://127.0.0.1:{port}/reports", FORGED, is_open=True),
    }


def _on_granian(stack: ExitStack, here: Path, kind: str) -> Served:
    port = free_port()
    state = here / kind
    state.mkdir()
    cookie = state / "cookie"
    cookie.touch()
    environ = {
        "SP_INSTANCE": str(state),
        "SP_SECRET_KEY": "k" * 48,
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "BENCH_COOKIE": str(cookie),
    }
    command = python("-m", "bench.serve", "granian", f"{APP}:{kind}", str(port))
    stack.enter_context(running(command, port, environ, state / "log"))
    url = f"http://127.0.0.1:{port}/reports"
    answer(url)  # waits until the worker has written the cookie
    return Served(url, cookie.read_text() or FORGED, is_open=kind == "unprotected")  # every page must parse a cookie


def _check(page: Served) -> None:
    """Check that a request without a cookie, or with a forged one, does not get a page (the negative control)."""
    status, body = answer(page.url, page.cookie)
    if status != 200 or b"reached" not in body:
        raise AssertionError(f"{page.url}: not reached with the cookie ({status})")
    for cookie in ("", FORGED, page.cookie[:-9] + "x" * 9):
        if not page.is_open and b"reached" in answer(page.url, cookie)[1]:
            raise AssertionError(f"{page.url}: reached without a session")
