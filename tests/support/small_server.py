"""Our server with one of the applications below and its own limits: PORT APPLICATION THREADS NAME=SECONDS…"""

import errno
import logging.config
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from gunicorn.http.wsgi import FileWrapper

from shared import client_socket, connections, request_ids, serving, threads
from shared.serving import LOGGING, Server, serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGE = 24 * 1024 * 1024  # more than the buffers between server and client take
STREAMED = 1 << 30  # bytes, in pieces that exist once
PIECE = bytes(1024 * 1024)
STUCK_SECONDS = 3
at_work, most_at_work = 0, 0
lock = threading.Lock()


def own(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Count the body."""
    length = sum(len(piece) for piece in iter(lambda: environ["wsgi.input"].read(65_536), b""))
    return say(start_response, str(length).encode())


def protected(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Count the body, however long it takes; or send a large file."""
    environ[threads.TAKE_YOUR_TIME]()
    if environ["PATH_INFO"] == "/file":
        file = TemporaryFile()  # noqa: SIM115 - the server closes it
        file.write(b"x" * LARGE)
        file.seek(0)
        start_response("200 OK", [("Content-Length", str(LARGE))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    if environ["PATH_INFO"] == "/pieces":
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return [b"x" * (LARGE // 4)] * 4
    return own(environ, start_response)


def counting(_environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Work for a moment; say how many have worked at the same time, at most."""
    global at_work, most_at_work
    with lock:
        at_work += 1
        most_at_work = max(most_at_work, at_work)
    time.sleep(0.2)
    with lock:
        at_work -= 1
    return say(start_response, str(most_at_work).encode())


def say(start_response: "StartResponse", text: bytes) -> Iterable[bytes]:
    """Answer with *text*."""
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


class Collecting:
    """Says that the bodies for it are small, and which thread has got one."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Count the body."""
        return say(start_response, name_of_thread() + b" %d" % len(environ["wsgi.input"].read()))

    def collects_body(self, target: str) -> bool:
        """Tell that it may be collected first."""
        return target == "/"


def streaming(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer with large and unusual bodies."""
    ok, length, path = "200 OK", [("Content-Length", str(STREAMED))], environ["PATH_INFO"]
    if path == "/pieces":
        start_response(ok, length)
        return (PIECE for _number in range(STREAMED // len(PIECE)))
    if path == "/file":
        file = TemporaryFile()  # noqa: SIM115 - the server closes it
        file.truncate(STREAMED)
        start_response(ok, length)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    if path == "/broken-before":
        raise RuntimeError("it is broken")
    if path in HEADERS or path == "/set":
        status, headers = HEADERS.get(path, (ok, [(environ["QUERY_STRING"], "mine")]))
        start_response(status, headers)
        return [b"one", b"two"]
    if path in ("/broken", "/file-is-gone"):
        start_response(ok, [])
        return broken(RuntimeError("it is broken") if path == "/broken" else FileNotFoundError(2, "it is gone"))
    if path in FAILURES:
        return FAILURES[path](start_response)
    return own(environ, start_response)


def broken(error: Exception) -> Iterator[bytes]:
    """Yield one piece and then fail."""
    yield b"one"
    raise error


class FailsLate:
    """A body of two bytes that fails when it is closed, as where an application commits then."""

    def __init__(self, start_response: "StartResponse") -> None:
        start_response("200 OK", [("Content-Length", "2")])

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"ok"])

    def close(self) -> None:
        """Fail."""
        raise RuntimeError("it is broken")


def lost_file(start_response: "StartResponse") -> Iterator[bytes]:
    """Yield the beginning of a body, and then fail at reading a file."""
    start_response("200 OK", [("Content-Length", "300")])
    yield b"one"
    raise FileNotFoundError(errno.ENOENT, "it is broken")


def fails_after_writing(start_response: "StartResponse") -> Iterable[bytes]:
    """Write the beginning of a body, and then fail."""
    start_response("200 OK", [("Content-Length", "300")])(b"one")
    raise RuntimeError("it is broken")


def short(start_response: "StartResponse") -> Iterable[bytes]:
    """Return less than the length that is announced."""
    start_response("200 OK", [("Content-Length", "300")])
    return [b"one"]


def short_file(start_response: "StartResponse") -> Iterable[bytes]:
    """Return a file that has become shorter since its length was announced."""
    file = TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(b"one")
    file.seek(0)
    start_response("200 OK", [("Content-Length", "300")])
    wrapped: Iterable[bytes] = FileWrapper(file)
    return wrapped


class NeverBegins:
    """A body that fails before it has begun, and says when it is closed."""

    def __init__(self, _start_response: "StartResponse") -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError("it is broken")

    def close(self) -> None:
        """Say so."""
        print("it is closed", flush=True)


FAILURES: "dict[str, Callable[[StartResponse], Iterable[bytes]]]" = {
    "/lost-file": lost_file,
    "/broken-after-writing": fails_after_writing,
    "/broken-at-the-end": FailsLate,
    "/never-begins": NeverBegins,
    "/short": short,
    "/short-file": short_file,
}
HEADERS: "dict[str, tuple[str, list[tuple[str, str]]]]" = {
    "/chunks": ("200 OK", [("Content-Type", "text/plain")]),
    "/nothing": ("204 No Content", [("Content-Length", "6")]),
    "/split": ("200 OK", [("X-Split", "1\r\nX-Injected: 1")]),
    "/split-name": ("200 OK", [("X-Split\r\nX-Injected", "1")]),
    "/status": ("200 OK\r\nX-Injected: 1", []),
}


class AtOnce:
    """Answers some paths at once, and says which of its threads has answered."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer in a thread."""
        if environ["PATH_INFO"] == "/stuck":
            time.sleep(STUCK_SECONDS)
        return say(start_response, name_of_thread())

    def answer_at_once(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes] | None:
        """Answer in the event loop."""
        match environ["PATH_INFO"]:
            case "/large":
                return say(start_response, b"x" * (LARGE // 8))
            case "/decided":
                environ["decided"] = b"decided"
                request_ids.assign(environ, trusted=False)
                raise threads.InThread(lambda environ, start: say(start, environ["decided"] + b" " + name_of_thread()))
            case "/broken":
                raise RuntimeError("it is broken")
            case "/split":
                start_response("200 OK", [("Content-Length", "0"), ("Location", "/\r\nSet-Cookie: a=b")])
                return []
            case "/at-once":
                return say(start_response, name_of_thread())
        return None


def name_of_thread() -> bytes:
    """Return the name of the thread that answers."""
    return threading.current_thread().name.encode()


APPLICATIONS: "dict[str, WSGIApplication]" = {
    "own": own,
    "protected": protected,
    "counting": counting,
    "at once": AtOnce(),
    "collecting": Collecting(),
    "streaming": streaming,
}


if __name__ == "__main__":
    port, name, at_once, *limits = sys.argv[1:]
    for limit in limits:
        setting, _equals, value = limit.partition("=")
        having = [module for module in (threads, client_socket, connections, serving) if hasattr(module, setting)]
        assert having, setting
        for module in having:
            setattr(module, setting, type(getattr(module, setting))(value))
    logging.config.dictConfig(LOGGING)
    serve(Server(lambda: APPLICATIONS[name], f"127.0.0.1:{port}", threads=int(at_once)))
