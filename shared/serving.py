"""Serve a program on a production WSGI server; docs/decisions/0001-wsgi-server.md says which and why."""

from __future__ import annotations

import argparse
import importlib
import logging.config
import sys
from collections.abc import Callable
from typing import Any

import gunicorn.http.message
from gunicorn.app.base import BaseApplication

from shared.logs import install_log_redaction
from shared.private_files import keep_to_owner
from shared.settings import SettingsRefused

MAX_REQUEST_LINE = 16_384  # bytes: a token of 8 KiB travels in it, and gunicorn's own most is 8,190
THREADS = 16  # per worker; a client that dawdles over its headers occupies one
GRACE = 30  # seconds that requests under way are given at SIGTERM
ACCESS_LOG = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'  # %(U)s is the path: tokens travel in the query
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "shared.logs.LineFormatter", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {"err": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["err"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "gunicorn.access": {"level": "INFO", "propagate": True},
        "alembic": {"level": "WARNING"},
    },
}


def main(program: str, default_port: int) -> None:
    """Serve the package *program* as the command line says.

    The package offers `prepare(host, port)`, which checks settings, migrates and returns the banner to print, and
    `create_wsgi()`, which each worker calls.
    """
    package = importlib.import_module(program)
    parser = argparse.ArgumentParser(description=package.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=default_port)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    keep_to_owner()
    logging.config.dictConfig(LOGGING)
    install_log_redaction()
    try:
        banner = package.prepare(options.host, options.port)
    except SettingsRefused as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(2)
    print(banner, flush=True)
    Server(package.create_wsgi, options.host, options.port, options.workers).run()


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, with every trust in its peers taken back: whom to believe is the programs' own decision."""

    def __init__(self, create_wsgi: Callable[[], Any], host: str, port: int, workers: int) -> None:
        self._create_wsgi = create_wsgi
        bracketed = f"[{host}]" if ":" in host else host
        self._settings = {
            "bind": f"{bracketed}:{port}",
            "workers": workers,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": GRACE,
            "keepalive": 75,
            "limit_request_line": MAX_REQUEST_LINE,
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "accesslog": "-",
            "access_log_format": ACCESS_LOG,
            "logconfig_dict": LOGGING,
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings to gunicorn; nothing is read from its own files or environment."""
        gunicorn.http.message.MAX_REQUEST_LINE = MAX_REQUEST_LINE
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the WSGI application, made in each worker."""
        return self._create_wsgi()
