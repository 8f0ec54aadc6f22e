"""Serve a program on a production WSGI server; docs/decisions/0001-wsgi-server.md explains the choice."""

from __future__ import annotations

import argparse
import logging.config
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import gunicorn.http.message
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from shared import access_log
from shared.collecting import nothing_to_collect
from shared.json_log import JsonFormatter
from shared.logs import OURS, LineFormatter, install_log_redaction
from shared.private_files import keep_to_owner
from shared.settings import SettingsRefused
from shared.version import VERSION
from shared.worker import Worker

MAX_REQUEST_LINE = 16_384  # bytes: the line may contain a token of 8 KiB, and gunicorn's maximum of 8,190 is too small
THREADS = 16  # per worker, unless --threads says otherwise
CONNECTIONS = 1_000  # per worker, if the machine allows so many open files
OTHER_FILES = 100  # open files for databases, logs and the protected application
GRACE = 30  # seconds to finish current requests after SIGTERM
TEXT, JSON = "text", "json"  # the values of SP_LOG and IDP_LOG
FORMATTERS: dict[str, dict[str, Any]] = {
    TEXT: {"()": LineFormatter, "format": "%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s"},
    JSON: {"()": JsonFormatter},
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": FORMATTERS[TEXT]},
    "handlers": {"err": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["err"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "propagate": True},
        "gunicorn.access": {"level": "INFO", "propagate": True},
        f"{__package__}.postgresql": {"level": "WARNING"},  # its pool logs each start
        "alembic": {"level": "WARNING"},
    },
}


def main(
    load: Callable[[], ModuleType],
    description: str,
    default_port: int,
    arguments: Sequence[str] | None = None,
    called: str | None = None,
) -> None:
    """Serve the package that *load* imports.

    *arguments* are by default the command-line arguments of this process. The help shows *description* and *called*,
    the name of the program. The package offers three functions:

    - `log_format()` returns "text" or "json".
    - `prepare(host, port)` checks the settings, migrates the database and returns the banner to print.
    - `create_wsgi()` returns the application. Each worker calls it.

    If `prepare` raises SettingsRefused, or `create_wsgi` raises it in the first worker, the program ends with status 2.
    If the package also offers `reload(application)`, a SIGHUP makes each worker call it. Otherwise a SIGHUP replaces
    the workers, as in gunicorn.
    """
    options = command_line(description, default_port, called).parse_args(arguments)
    keep_to_owner()
    with nothing_to_collect():
        program = load()
    log_format = program.log_format()
    logging.config.dictConfig(logging_as(log_format))
    install_log_redaction()
    try:
        banner = program.prepare(options.host, options.port)
    except SettingsRefused as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(2)
    place = f"unix:{options.unix}" if options.unix else bind_to(options.host, options.port)
    announce(f"{banner}\nListening on {place}.", log_format)
    server = Server(program.create_wsgi, place, options.workers, options.threads, log_format)
    server.reload_application = getattr(program, "reload", None)
    serve(server)


def logging_as(log_format: str) -> dict[str, Any]:
    """Return the configuration of all logs in this format."""
    return LOGGING | {"formatters": {"line": FORMATTERS.get(log_format, FORMATTERS[TEXT])}}


def announce(text: str, log_format: str) -> None:
    """Print the banner. If the log format is JSON, log the banner as one line of JSON instead."""
    if log_format == JSON:
        logging.getLogger(OURS).info("%s", " ".join(text.split()), extra={"event": "start"})
    else:
        print(text, flush=True)


def command_line(description: str | None, default_port: int, called: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of a program's command line."""
    parser = argparse.ArgumentParser(
        prog=called,
        description=description,
        epilog=f"Example: {called or '%(prog)s'} --host 0.0.0.0 --port {default_port} --workers 2",
    )
    parser.add_argument("--version", action="version", version=f"lychgate {VERSION}")
    parser.add_argument("--host", default="127.0.0.1", help="IP address to listen on")
    parser.add_argument("--port", type=int, default=default_port, help="port to listen on")
    parser.add_argument("--unix", metavar="PATH", help="listen on a socket file, in place of host and port")
    parser.add_argument("--workers", type=at_least_one, default=1, help="processes")
    parser.add_argument("--threads", type=at_least_one, default=THREADS, help="requests at a time, in each worker")
    return parser


def at_least_one(text: str) -> int:
    """Return a number of workers or threads."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def bind_to(host: str, port: int) -> str:
    """Return host and port as gunicorn expects them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(server: Server) -> None:
    """Serve until a signal ends *server*. If the workers cannot load the application, end with status 2."""
    main_process = os.getpid()
    try:
        server.run()
    except SystemExit as end:
        if end.code == Arbiter.APP_LOAD_ERROR and os.getpid() == main_process:
            sys.exit(2)
        raise


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, configured to trust no peer, because each program itself decides which proxies it trusts."""

    def __init__(
        self,
        create_wsgi: Callable[[], Any],
        place: str,
        workers: int = 1,
        threads: int = THREADS,
        log_format: str = TEXT,
    ) -> None:
        self._create_wsgi = create_wsgi
        # 1 after the first worker has loaded the application, or has reported why it cannot. All workers share this
        # memory.
        self.first_is_done = mmap.mmap(-1, 1)
        self._settings = {
            "bind": place,
            "umask": 0o117,  # the socket's file is for its owner and group
            "workers": workers,
            "worker_class": Worker,
            "worker_connections": connections_allowed(threads),
            "threads": threads,
            "graceful_timeout": GRACE,
            "keepalive": 75,
            "limit_request_line": MAX_REQUEST_LINE,
            "http_parser": "python",  # the tested parser, even where gunicorn's native parser is installed
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "accesslog": "-",
            "access_log_format": access_log.FORMAT,
            "logger_class": access_log.AccessLog,
            "logconfig_dict": logging_as(log_format),
            "control_socket_disable": True,
        }
        self.reload_application: Callable[[Any], None] | None = None
        super().__init__()

    def run(self) -> None:
        """Serve until a signal ends the server."""
        if self.reload_application is None:
            super().run()
        else:
            Master(self).run()

    def load_config(self) -> None:
        """Pass our settings to gunicorn, which does not read its own files or environment."""
        gunicorn.http.message.MAX_REQUEST_LINE = MAX_REQUEST_LINE
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the WSGI application, made in each worker."""
        return self._create_wsgi()


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's main process, changed so that it passes SIGHUP to the workers instead of replacing them."""

    def handle_hup(self) -> None:
        """Send the signal to the workers."""
        self.kill_workers(signal.SIGHUP)


def connections_allowed(threads: int) -> int:
    """Return how many connections a worker may have open."""
    files, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(min(CONNECTIONS, files - OTHER_FILES), threads + 1)
