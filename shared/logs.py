"""Remove tokens from the logs, and escape characters with which a stranger could forge a log line.

`install_log_redaction` changes the log records themselves, so it works in any process and with any formatter. It
removes tokens from the message, the arguments and the traceback. It also makes the records of our own loggers
printable.

run_sp.py and run_idp.py use the formatter `LineFormatter`. It makes the records of all loggers printable. Each record
is one line; if it has a traceback, the lines of the traceback follow.
"""

from __future__ import annotations

import copy
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from shared.printable import printable
from shared.request_ids import current
from shared.tokens import redact

OURS = "lychgate"  # the name of our loggers, alone or before a dot

Clean = Callable[[str], str]


class LineFormatter(logging.Formatter):
    """Formats a record as one printable line. If there is a traceback, its lines follow; they are printable too."""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info:
            record.exc_text = traceback_lines(record.exc_info)
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.request_id = current() or "-"  # before the message, where no text of a stranger can forge it
        return printable(super().formatMessage(record))


def install_log_redaction() -> None:
    """Remove everything that looks like a token from every log record of this process, tracebacks included."""
    make_record = logging.getLogRecordFactory()
    if getattr(make_record, "redacts", False):
        return

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        _clean_record(record)
        return record

    make_redacted_record.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted_record)


def _clean_record(record: logging.LogRecord) -> None:
    """Clean the arguments, the message and the traceback of *record*.

    The number of arguments does not change, and an argument that is a number stays a number.
    """
    ours = record.name.partition(".")[0] == OURS
    clean = _redact_and_escape if ours else redact
    if record.exc_info:
        record.exc_text = (traceback_lines if ours else _plain_traceback)(record.exc_info)
    if record.args:
        record.args = _clean_arguments(record.args, clean)
    try:
        message = record.getMessage()
    except Exception:
        return  # the format string is wrong; logging itself reports this
    cleaned = clean(message)
    if cleaned != message:
        record.msg = _takes_arguments(cleaned, record.args)


def _clean_arguments(arguments: Any, clean: Clean) -> Any:
    if not isinstance(arguments, Mapping):
        return tuple(_clean_argument(argument, clean) for argument in arguments)
    changed = {
        name: cleaned
        for name, argument in arguments.items()
        if (cleaned := _clean_argument(argument, clean)) is not argument
    }
    if not changed:
        return arguments
    cleaned_arguments: Any = copy.copy(arguments)  # gunicorn's arguments are a dict that has a value for every name
    cleaned_arguments.update(changed)
    return cleaned_arguments


def _clean_argument(argument: Any, clean: Clean) -> Any:
    """Return *argument* itself, or a redacted text if it contains a token."""
    if argument is None or isinstance(argument, (int, float)):
        return argument
    try:
        text = str(argument)
    except Exception:
        return argument  # logging itself reports this
    cleaned = clean(text)
    return argument if cleaned == text else cleaned


def _takes_arguments(message: str, arguments: Any) -> str:
    """Return a format string whose result is *message*. It accepts *arguments*, but does not show them."""
    if not arguments:
        return message
    unseen = "" if isinstance(arguments, Mapping) else "%.0s" * len(arguments)
    return message.replace("%", "%%") + unseen


def _redact_and_escape(text: str) -> str:
    return printable(redact(text))


def _plain_traceback(exception: Any) -> str:
    return redact(logging.Formatter().formatException(exception))


def traceback_lines(exception: Any) -> str:
    """Return a traceback without tokens. Each line is indented, so that a stranger's text cannot begin a line.

    A newline in the text of an exception is escaped. A note of an exception keeps its lines, as in the standard
    library.
    """
    error = exception[1]
    chunks = traceback.TracebackException(type(error), error, exception[2]).format() if error else ()
    return redact("\n".join(f"  {printable(line)}" for chunk in chunks for line in _lines(chunk)))


def _lines(chunk: str) -> list[str]:
    """Return the lines of a *chunk* of a traceback. A frame has several lines (file, code), other chunks have one."""
    body = chunk.strip("\n")
    is_frame = body.startswith(" ") and body.lstrip(" |+-").startswith('File "')
    return body.split("\n") if is_frame else [body]
