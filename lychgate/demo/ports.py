"""Choose the ports of the demo: the requested ones, or the next free ones."""

import os
import socket

from lychgate.demo.outcome import DemoFailed, say

HOST = "127.0.0.1"


def wished_port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise DemoFailed(f"{name} must be a port from 1 to 65535, not {text!r}.")
    return int(text)


def choose_port(who: str, wish: int, avoid: set[int]) -> int:
    """Return the port *wish* if it is free. If not, print a message and return the next free port."""
    if wish not in avoid and is_free(wish):
        return wish
    for port in range(wish + 1, min(wish + 200, 65536)):
        if port not in avoid and is_free(port):
            say(f"{who} cannot have port {wish}, which is taken: it uses {port}.")
            return port
    raise DemoFailed(f"No free port was found from {wish} on.")


def is_free(port: int) -> bool:
    """Tell whether the port can be bound and no program answers on it.

    Binding alone is not enough: some systems let a second program bind a port that is in use.
    """
    with socket.socket() as caller:
        caller.settimeout(1)
        if caller.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
    return True
