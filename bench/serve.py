"""Serve one of the peers: python -m bench.serve granian|gunicorn module:factory PORT"""

from __future__ import annotations

import importlib
import sys


def main(server: str, target: str, port: int) -> None:
    """Serve the WSGI application that *target* makes, with one worker."""
    module, _colon, name = target.partition(":")
    if server == "gunicorn":
        from shared.serving import Server

        Server(getattr(importlib.import_module(module), name), f"127.0.0.1:{port}").run()
        return
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    Granian(
        target, address="127.0.0.1", port=port, interface=Interfaces.WSGI, factory=True, http=HTTPModes.http1,
        blocking_threads=1, log_access=False,
    ).serve()  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
