"""Each request has an ID: in the log, for the application, and in the answer. A stranger chooses none."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from ipaddress import ip_network
from typing import Any

import pytest

from idp.proxies import ClientIP
from shared import request_ids
from shared.keys import load_key
from shared.logs import install_log_redaction
from shared.serving import JSON, TEXT, logging_as
from shared.tokens import sign

TOKEN = sign({"jti": "1"}, load_key("a secret of the cast, long enough for SHA-256", "HS256"))
NASTY = 'a\n{"event": "forged"}\r\x1b[2J\u2028"} [of-another] b'


def answered(given: str | None, *, trusted: bool) -> tuple[str, str]:
    """Return the ID that the application sees, and the one in the answer."""
    environ = {} if given is None else {"HTTP_X_REQUEST_ID": given}
    sent: list[tuple[str, str]] = []

    def start_response(_status: str, headers: list[tuple[str, str]], _exception: Any = None) -> Callable[..., Any]:
        sent.extend(headers)
        return print

    start = request_ids.begin(environ, start_response, trusted=trusted)
    start("200 OK", [("Content-Type", "text/plain"), ("x-request-id", "of the application")])
    (shown,) = (value for name, value in sent if name.lower() == "x-request-id")
    return environ["HTTP_X_REQUEST_ID"], shown


@pytest.mark.parametrize(
    "given", ["4bf92f3577b34da6a3ce929d0e0e4736", "Root=1-67891233-abcdef012345678912345678", "x" * 64]
)
def test_the_id_of_a_trusted_proxy_is_kept(given: str) -> None:
    assert answered(given, trusted=True) == (given, given)
    assert request_ids.current() == given
    request_ids.end()
    assert request_ids.current() == ""


@pytest.mark.parametrize(
    ("given", "trusted"),
    [(None, True), ("", True), ("chosen", False), (None, False)]
    + [(bad, True) for bad in ("x" * 65, "a b", "a\nb", "a\n", "ä", "\u0661", 'a"b', "a,b", "<x>", TOKEN)],
)
def test_attack_an_id_that_a_stranger_chose_or_that_could_forge_a_line_is_replaced(
    given: str | None, trusted: bool
) -> None:
    seen, sent = answered(given, trusted=trusted)
    assert seen == sent != given
    assert len(seen) == 16
    assert answered(given, trusted=trusted)[0] != seen


def given_ids(count: int) -> list[str]:
    return [answered(None, trusted=False)[0] for _ in range(count)]


def test_no_two_requests_have_one_id_in_threads_or_forked_processes() -> None:
    """IDs are drawn many at once, and a fork copies those that are left."""
    with ThreadPoolExecutor(4) as pool:
        ids = [name for some in pool.map(given_ids, [700] * 4) for name in some]
    given_ids(1)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, " ".join(given_ids(300)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader) as pipe:
        ids += pipe.read().split()
    ids += given_ids(300)
    assert len(set(ids)) == len(ids) == 3400


def test_the_identity_provider_believes_its_trusted_proxies_only() -> None:
    seen: list[str] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(request_ids.current())
        start_response("200 OK", [])
        return [environ["HTTP_X_REQUEST_ID"].encode()]

    app = ClientIP(application, [ip_network("192.0.2.0/24")])
    for peer in ("192.0.2.1", "198.51.100.1"):
        app({"REMOTE_ADDR": peer, "HTTP_X_REQUEST_ID": "chosen"}, lambda *_answer: print)
    assert seen[0] == "chosen" != seen[1]


@pytest.fixture(params=[TEXT, JSON])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[str, StringIO]]:
    """The format, and what our logger and the access log have written in it."""
    stream, before = StringIO(), logging.getLogRecordFactory()
    handler = logging.StreamHandler(stream)
    formatter = dict(logging_as(request.param)["formatters"]["line"])
    made = formatter.pop("()")
    handler.setFormatter(made(formatter["format"]) if "format" in formatter else made())
    install_log_redaction()
    loggers = [logging.getLogger(name) for name in ("lychgate.test", "gunicorn.access")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    yield request.param, stream
    for logger in loggers:
        logger.removeHandler(handler)
    logging.setLogRecordFactory(before)
    request_ids.end()


def test_attack_no_text_of_a_stranger_forges_a_line_or_an_id(log: tuple[str, StringIO]) -> None:
    kind, stream = log
    request_ids.begin({"HTTP_X_REQUEST_ID": "the-id"}, lambda *_: print, trusted=True)
    logging.getLogger("lychgate.test").info("refused: %s", NASTY, extra={"event": "refused", "code": "token_expired"})
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    if kind == TEXT:
        assert line.split("lychgate.test")[0].endswith("INFO [the-id] ")
        return
    told = json.loads(line)
    assert (told["event"], told["code"], told["reference"]) == ("refused", "token_expired", None)
    assert told["request_id"] == "the-id"
    assert told["time"].endswith("Z")
    assert told["level"] == "info"


def test_a_line_of_the_access_log_has_the_parts_of_the_request_and_no_token(log: tuple[str, StringIO]) -> None:
    kind, stream = log
    atoms = {"h": "192.0.2.7", "m": "GET", "U": f"/x/{TOKEN}\n", "s": "404", "B": 12, "M": 3}
    logging.getLogger("gunicorn.access").info('%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms', atoms)
    (line,) = stream.getvalue().splitlines()
    assert TOKEN not in line
    if kind == JSON:
        told = json.loads(line)
        assert (told["event"], told["client"], told["method"]) == ("request", "192.0.2.7", "GET")
        assert (told["status"], told["bytes"], told["milliseconds"]) == (404, 12, 3)
        assert told["request_id"] is None


def test_a_traceback_is_in_the_same_line_of_json_and_has_no_token(log: tuple[str, StringIO]) -> None:
    kind, stream = log
    try:
        raise ValueError(f"{TOKEN} {NASTY}")
    except ValueError:
        logging.getLogger("lychgate.test").exception("failed")
    assert TOKEN not in stream.getvalue()
    if kind == JSON:
        (line,) = stream.getvalue().splitlines()
        assert "ValueError" in json.loads(line)["traceback"]
