"""What a log may hold: records without tokens, with all of their arguments, each on one line that prints."""

import copy
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from shared.keys import load_key
from shared.logs import LineFormatter, install_log_redaction
from shared.tokens import sign

TOKEN = sign(
    {"email": "alice@example.com", "jti": "1"}, load_key("a secret of the cast, long enough for SHA-256", "HS256")
)
NASTY = "a\nINFO forged\r\x1b[2J\x9b31m\u202e\u2028\u200b\x00b"


class AccessFormatter(logging.Formatter):
    """Reads the arguments of a record, as uvicorn's formatter of access lines does."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        shown = copy.copy(record)
        client, method, path, version, status = shown.args  # type: ignore[misc]
        shown.__dict__.update(client=client, line=f"{method} {path} HTTP/{version}", code=int(str(status)) + 0)
        assert isinstance(status, int)
        return f"{shown.__dict__['client']} {shown.__dict__['line']} {shown.__dict__['code']:d}"


class Unprintable:
    """Fails where it is printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What the loggers of a test have written, by our own formatter."""
    yield from capture(LineFormatter("%(levelname)s %(name)s: %(message)s"))


@pytest.fixture
def access() -> Iterator[StringIO]:
    """The same by a formatter that reads the arguments."""
    yield from capture(AccessFormatter())


def capture(formatter: logging.Formatter) -> Iterator[StringIO]:
    stream, before = StringIO(), logging.getLogRecordFactory()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    install_log_redaction()
    for name in ("lychgate", "uvicorn.access", "app"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    yield stream
    for name in ("lychgate", "uvicorn.access", "app"):
        logging.getLogger(name).removeHandler(handler)
    logging.setLogRecordFactory(before)


def test_a_formatter_that_reads_the_arguments_finds_them_all_where_a_token_was_taken_out(access: StringIO) -> None:
    line = '%s - "%s %s HTTP/%s" %d'
    logging.getLogger("uvicorn.access").info(
        line, "127.0.0.1:9", "GET", f"/sso/login/jwt?jwt={TOKEN}&a=1%2b", "1.1", 303
    )
    logging.getLogger("uvicorn.access").info(line, "127.0.0.1:9", "GET", f"/{TOKEN}", "1.1", 404)
    assert access.getvalue().splitlines() == [
        "127.0.0.1:9 GET /sso/login/jwt?jwt=[redacted]&a=1%2b HTTP/1.1 303",
        "127.0.0.1:9 GET /[token redacted] HTTP/1.1 404",
    ]


def test_a_token_that_only_message_and_arguments_together_show_is_taken_out_and_the_arguments_stay(
    written: StringIO,
) -> None:
    record = logging.getLogRecordFactory()("app", 20, "", 0, "100 %% jwt=%s and %d", ("opaque", 7), None)
    assert record.getMessage() == "100 % jwt=[redacted] and 7"
    assert record.args == ("opaque", 7)


def test_arguments_by_name_keep_their_kind_and_lose_their_tokens(written: StringIO) -> None:
    class Atoms(dict[str, object]):
        def __missing__(self, name: str) -> str:
            return "-"

    logging.getLogger("app").info("%(path)s %(status)d %(nothing)s", Atoms(path=f"/{TOKEN}", status=200))
    assert written.getvalue() == "INFO app: /[token redacted] 200 -\n"


def test_a_record_without_a_token_keeps_its_message_and_the_very_same_arguments(written: StringIO) -> None:
    kept = {"a": 1}
    record = logging.getLogRecordFactory()("app", 20, "", 0, "%s and %s", ([kept], kept), None)
    assert record.args == ([kept], kept)
    assert record.args[1] is kept
    assert record.msg == "%s and %s"


@pytest.mark.parametrize("arguments", [("%d", "no number"), ("%s", Unprintable()), ("%(a)s", {"b": TOKEN})])
def test_a_record_that_cannot_be_formatted_stops_no_one(arguments: tuple[object, ...], written: StringIO) -> None:
    logging.getLogRecordFactory()("app", 20, "", 0, arguments[0], arguments[1:], None)


@pytest.mark.parametrize("logger", ["lychgate", "app"])
def test_a_stranger_forges_no_line_and_commands_no_terminal(logger: str, written: StringIO) -> None:
    logging.getLogger(logger).info("refused: %s", NASTY)
    logging.getLogger(logger).info(NASTY)
    lines = written.getvalue().splitlines()
    assert lines[0] == rf"INFO {logger}: refused: a\nINFO forged\r\x1b[2J\x9b31m\u202e\u2028\u200b\x00b"
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_our_own_loggers_forge_no_line_whatever_the_formatter_is() -> None:
    for stream in capture(logging.Formatter("%(message)s")):
        logging.getLogger("lychgate").info("refused: %s, %s", NASTY, ValueError(NASTY))
        assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("logger", ["lychgate", "app"])
def test_a_traceback_has_several_lines_none_of_them_a_strangers(logger: str, written: StringIO) -> None:
    try:
        try:
            raise ValueError(f"{NASTY} {TOKEN}")
        except ValueError as inner:
            inner.add_note(NASTY)
            raise ExceptionGroup(NASTY, [KeyError(NASTY), inner]) from inner
    except ExceptionGroup:
        logging.getLogger(logger).exception("it failed")
    first, *lines, end = written.getvalue().split("\n")
    assert (first, end) == (f"ERROR {logger}: it failed", "")
    assert all(line.isprintable() and line.startswith("  ") for line in lines)
    assert sum(line.strip(" |").startswith('File "') for line in lines) == 3
    assert "  The above exception was the direct cause of the following exception:" in lines
    assert sum("forged" in line for line in lines) >= 4
    assert TOKEN not in written.getvalue()
    assert "[token redacted]" in written.getvalue()
