"""Choose ports for servers that live as long as a test.

The two programs must know each other's URL before they start, so their ports are chosen before they are used. Each of
up to twelve xdist workers has its own range, which is below the system's range for outgoing connections. So no other
worker and no outgoing connection takes a port between its choice and its use.
"""

import os
import random
import re
import socket
from collections.abc import Iterator

FIRST_PORT = 20_000
PORTS_PER_WORKER = 1_000
WORKERS = 12  # 20,000 to 31,999; Linux hands out ports from 32,768 on


def free_port() -> int:
    """Return a free port of 127.0.0.1 that this process has not returned recently."""
    for _ in range(PORTS_PER_WORKER):
        port = next(_candidates)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"All {PORTS_PER_WORKER} ports of this worker are taken.")


def _walk() -> Iterator[int]:
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % WORKERS
    offset = random.randrange(PORTS_PER_WORKER)  # noqa: S311  # two runs at once should rarely meet
    while True:
        yield FIRST_PORT + worker * PORTS_PER_WORKER + offset
        offset = (offset + 1) % PORTS_PER_WORKER


_candidates = _walk()
