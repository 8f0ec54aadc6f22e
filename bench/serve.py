"""Serve one of the peers: python -m bench.serve granian|gunicorn module:factory PORT [WORKERS]"""

from __future__ import annotations

import importlib
import sys


def main(server: str, target: str, port: int, workers: int = 1) -> None:
    """Serve the WSGI application that *target* makes."""
    module, _colon, name = target.partition(":")
    if server == "gunicorn":
        from bench.peers.gthread import serve

        serve(getattr(importlib.import_module(module), name), port, workers)
        return
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    Granian(
        target, address="127.0.0.1", port=port, interface=Interfaces.WSGI, factory=True, http=HTTPModes.http1,
        blocking_threads=1, log_access=False, workers=workers,
    ).serve()  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
