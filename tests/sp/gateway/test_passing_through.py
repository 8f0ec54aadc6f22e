"""What the gateway does not touch: bodies, streams, files, errors, and the answer of the application."""

import io
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE
from shared import request_ids
from tests.sp.gateway.gate import HOST, PAGE, SCRIPT, Gate, call, make_gate

UPLOAD = 64 * 1024 * 1024


class Zeros(io.RawIOBase):
    """A body of any length that takes no room."""

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, size: int = -1) -> bytes:
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return bytes(size)


class Body:
    """A body that knows how often it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.closed = iter(pieces), 0

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed += 1


def test_the_applications_own_iterable_reaches_the_server(tmp_path: Path) -> None:
    body = Body([b"one"])

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return body

    gate = make_gate(tmp_path, app=app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": HOST, "REMOTE_ADDR": "127.0.0.1"}
    environ["HTTP_COOKIE"] = f"sp_session={gate.sign_in(ALICE)}"
    assert gate.gateway(environ, lambda *_arguments: None) is body


def test_nothing_of_the_body_is_read_before_the_application_reads_it(tmp_path: Path) -> None:
    stream = Zeros(UPLOAD)
    seen: list[int] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(environ["wsgi.input"].left)
        while environ["wsgi.input"].read(65536):
            pass
        start_response("200 OK", [])
        return [b"stored"]

    gate = make_gate(tmp_path, app=app)
    secret = gate.sign_in(ALICE)
    tracemalloc.start()
    body: dict[str, Any] = {"wsgi.input": stream, "CONTENT_LENGTH": str(UPLOAD)}
    answer = gate.ask("/upload", "PUT", secret=secret, **body)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.body, seen, stream.left) == (b"stored", [UPLOAD], 0)
    assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("path", ["/upload", "/a//b", "/admin/x"])
def test_a_request_that_is_turned_away_is_not_read(gate: Gate, path: str) -> None:
    stream = Zeros(UPLOAD)
    for headers in (SCRIPT, PAGE):
        body = {"wsgi.input": stream, "CONTENT_LENGTH": str(UPLOAD)}
        assert gate.ask(path, "POST", headers, **body).seen is None
    assert stream.left == UPLOAD


def test_the_servers_way_to_send_files_is_the_applications_to_use(gate: Gate) -> None:
    def wrapper(file: Any) -> Any:
        return file

    server: dict[str, Any] = {"wsgi.file_wrapper": wrapper}
    seen = gate.ask("/page", secret=gate.sign_in(ALICE), **server).seen
    assert seen is not None
    assert seen["wsgi.file_wrapper"] is wrapper


def test_what_the_application_asks_of_start_response_reaches_the_server(tmp_path: Path) -> None:
    error = (ValueError, ValueError("late"), None)
    written: list[Any] = []

    def app(_environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("A", "1")])
        write(b"first")
        start_response("500 Oh", [("B", "2")], error)
        return []

    def start_response(*arguments: Any) -> Any:
        written.append(arguments)
        return written.append

    gate = make_gate(tmp_path, app=app)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": HOST, "REMOTE_ADDR": "127.0.0.1"}
    environ["HTTP_COOKIE"] = f"sp_session={gate.sign_in(ALICE)}"
    gate.gateway(environ, start_response)
    request_id = ("X-Request-Id", request_ids.current())
    assert written == [("200 OK", [("A", "1"), request_id]), b"first", ("500 Oh", [("B", "2"), request_id], error)]


def test_an_error_of_the_application_is_the_servers_to_handle(tmp_path: Path) -> None:
    def app(_environ: Any, _start_response: Any) -> Any:
        raise ZeroDivisionError

    gate = make_gate(tmp_path, app=app)
    with pytest.raises(ZeroDivisionError):
        gate.ask("/", secret=gate.sign_in(ALICE))


@pytest.mark.parametrize("script_name", ["", "/mounted"])
def test_path_and_mount_point_stay_as_they_came(gate: Gate, script_name: str) -> None:
    seen = gate.ask("/a b/é;x=1", secret=gate.sign_in(ALICE), SCRIPT_NAME=script_name, query="q=%2F..").seen
    assert seen is not None
    assert seen["PATH_INFO"] == "/a b/é;x=1".encode().decode("latin-1")
    assert (seen["SCRIPT_NAME"], seen["QUERY_STRING"]) == (script_name, "q=%2F..")


def test_the_rules_are_about_the_path_that_the_application_sees(gate: Gate) -> None:
    """gunicorn, from loopback, lets a client move a part of the path into SCRIPT_NAME."""
    assert gate.ask("/admin/x", SCRIPT_NAME="/public", secret=gate.sign_in(ALICE), headers=PAGE).status == 403


def with_401(tmp_path: Path, app: Any, **settings: str) -> Gate:
    rules = [{"path": "/", "allow": "anyone", "everything": True}]
    return make_gate(tmp_path, rules, app=app, SP_SIGN_IN_ON_401="yes", **settings)


def refusing(status: str, pieces: list[bytes], *, late: bool) -> tuple[Callable[..., Any], list[Body]]:
    """Return an application that answers *status*, before or with the first piece, and its bodies."""
    bodies: list[Body] = []

    def app(environ: Any, start_response: Any) -> Any:
        def stream() -> Iterator[bytes]:
            if late:
                start_response(status, [("Content-Type", "text/plain")])
            yield from pieces

        if not late:
            start_response(status, [("Content-Type", "text/plain")])
        bodies.append(Body(stream()))
        return bodies[-1]

    return app, bodies


@pytest.mark.parametrize("late", [True, False])
def test_the_applications_401_begins_a_sign_in(tmp_path: Path, late: bool) -> None:
    app, bodies = refusing("401 Unauthorized", [b"who are you?"], late=late)
    gate = with_401(tmp_path, app)
    answer = gate.ask("/mine", headers=PAGE, query="tab=1")
    assert answer.status == 302
    assert answer.header("Location") == f"http://{HOST}/sso/start?return_to=%2Fmine%3Ftab%3D1"
    assert b"who are you" not in answer.body
    assert [body.closed for body in bodies] == [1]


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "500 Oh"])
def test_any_other_answer_of_the_application_passes_on(tmp_path: Path, status: str, late: bool) -> None:
    app, bodies = refusing(status, [b"", b"one", b"two"], late=late)
    answer = with_401(tmp_path, app).ask("/mine", headers=PAGE)
    assert (answer.status, answer.body) == (int(status[:3]), b"onetwo")
    assert [body.closed for body in bodies] == [1]


def test_a_script_and_a_person_who_is_signed_in_get_the_applications_401(tmp_path: Path) -> None:
    app, _bodies = refusing("401 Unauthorized", [b"who are you?"], late=True)
    gate = with_401(tmp_path, app)
    assert gate.ask("/mine", headers=SCRIPT).body == b"who are you?"
    answer = gate.ask("/mine", headers=PAGE, secret=gate.sign_in(ALICE))
    assert (answer.status, answer.body) == (401, b"who are you?")


def test_without_the_setting_a_401_is_the_applications_own(tmp_path: Path) -> None:
    app, _bodies = refusing("401 Unauthorized", [b"who are you?"], late=False)
    gate = make_gate(tmp_path, [{"path": "/", "allow": "anyone", "everything": True}], app=app)
    assert gate.ask("/mine", headers=PAGE).status == 401


def test_an_application_that_breaks_while_it_is_asked_is_closed(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        raise ZeroDivisionError
        yield b""

    body = Body(broken())
    gate = with_401(tmp_path, lambda _environ, _start_response: body)
    with pytest.raises(ZeroDivisionError):
        gate.ask("/mine", headers=PAGE)
    assert body.closed == 1


def test_one_line_protects_an_application_of_other_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sp.gateway import Gateway

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SP_INSTANCE", str(tmp_path))
    monkeypatch.setenv("SP_SECRET_KEY", "x" * 48)
    monkeypatch.setenv("SP_EXTERNAL_URL", f"http://{HOST}")

    def application(_environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"reached"]

    wrapped = Gateway(application)
    (status, headers), body = call(
        wrapped,
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "QUERY_STRING": "", "HTTP_HOST": HOST, "HTTP_ACCEPT": "text/html"},
    )
    assert status == 302
    assert ("Location", f"http://{HOST}/sso/start?return_to=%2Fx") in headers
    assert body != b"reached"
