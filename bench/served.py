"""A protected Flask page against the same unprotected, and against the same protected by others; requests a second."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import answer, requests_per_second
from bench.programs import free_port, python, running
from bench.timing import Row, in_turns


@dataclass(frozen=True)
class Served:
    """A running page and the cookie that opens it."""

    url: str
    cookie: str

    def rate(self) -> float:
        """Return its requests a second."""
        return requests_per_second(self.url, self.cookie)


def rows() -> list[Row]:
    """Measure on both servers; the peers on granian, which hides least of the difference."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        pages = {
            (server, kind): _start(stack, here, server, kind)
            for server, kind in (
                ("granian", "unprotected"),
                ("granian", "ours"),
                ("granian", "flask_login"),
                ("granian", "jwt_extended"),
                ("gunicorn", "unprotected"),
                ("gunicorn", "ours"),
            )
        }
        rates = in_turns({name: page.rate for name, page in pages.items()})

    def against(server: str, peer: str) -> tuple[float, str]:
        ours, theirs = rates[server, "ours"], rates[server, peer]
        return ours / theirs, f"ours {ours:.0f}/s, theirs {theirs:.0f}/s"

    wanted = (("granian", "unprotected", 0.90), ("gunicorn", "unprotected", 0.90), ("granian", "flask_login", 4.0))
    found = []
    for server, peer, least in (*wanted, ("granian", "jwt_extended", 2.0)):
        ratio, note = against(server, peer)
        found.append(Row(f"protected by us, times {peer} ({server})", ratio, "x", least, note=note))
    return found


def _start(stack: ExitStack, here: Path, server: str, kind: str) -> Served:
    port = free_port()
    state = here / f"{server}-{kind}"
    state.mkdir()
    cookie = state / "cookie"
    cookie.touch()
    environ = {
        "SP_INSTANCE": str(state),
        "SP_SECRET_KEY": "k" * 48,
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "BENCH_COOKIE": str(cookie),
    }
    command = python("-m", "bench.serve", server, f"bench.peers.protected:{kind}", str(port))
    stack.enter_context(running(command, port, environ, state / "log"))
    page = Served(f"http://127.0.0.1:{port}/reports", "")
    status, body = answer(page.url)
    page = Served(page.url, cookie.read_text() or f"sp_session={'x' * 43}")  # the same work to parse for everyone
    if kind != "unprotected" and b"reached" in body:
        raise AssertionError(f"{server}, {kind}: reached without a cookie ({status})")
    status, body = answer(page.url, page.cookie)
    if status != 200 or b"reached" not in body:
        raise AssertionError(f"{server}, {kind}: not reached with the cookie ({status})")
    return page
