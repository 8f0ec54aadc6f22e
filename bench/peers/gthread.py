"""Serve the gateway as version 0.1.0 did at first: with gunicorn's own gthread worker, 16 threads and an access log.

python -m bench.peers.gthread --port PORT [--workers 1] serves the gateway. The function `serve` serves any WSGI
application.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

ACCESS_LOG = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, create: Callable[[], Any], port: int, workers: int, access_log: bool) -> None:
        self._create = create
        self._settings = {
            "bind": f"127.0.0.1:{port}",
            "workers": workers,
            "worker_class": "gthread",
            "threads": 16,
            "keepalive": 75,
            "accesslog": "-" if access_log else None,
            "access_log_format": ACCESS_LOG,
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return self._create()


def serve(create: Callable[[], Any], port: int, workers: int = 1, *, access_log: bool = False) -> None:
    """Serve the application that *create* makes in each worker."""
    _Application(create, port, workers, access_log).run()


def main() -> None:
    """Serve the gateway."""
    import sp

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(sp.prepare("127.0.0.1", options.port), flush=True)
    serve(sp.create_wsgi, options.port, options.workers, access_log=True)


if __name__ == "__main__":
    main()
