"""Write log records as JSON, one object a line, with the time in UTC (RFC 3339).

Each object has `time`, `level`, `logger` and `message`. It also has `event`, `reference`, `code` and `request_id`,
which may be null. A line of the access log also has the parts of the request. JSON escapes every text, so no text can
end a line or add a name to the object.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.logs import traceback_lines
from shared.request_ids import current
from shared.tokens import redact

ACCESS_LOGGER = "gunicorn.access"
_REQUEST = {"client": "h", "method": "m", "path": "U", "status": "s", "bytes": "B", "milliseconds": "M"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. The caller may pass `event`, `reference` and `code` in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message, request_id = record.getMessage(), current()
        if record.name == ACCESS_LOGGER and isinstance(record.args, Mapping):
            return line_of_request(record.created, message, request_id, record.args)
        line = _line(record.created, record.levelname, record.name, message, request_id)
        line |= {name: getattr(record, name, None) for name in ("event", "reference", "code")}
        if record.exc_info:
            line["traceback"] = traceback_lines(record.exc_info)
        return _dumped(line)


def line_of_request(created: float, message: str, request_id: str, atoms: Mapping[str, Any]) -> str:
    """Return a line of the access log. *atoms* are the parts of the request, by gunicorn's names."""
    line = _line(created, "INFO", ACCESS_LOGGER, message, request_id)
    line["event"] = "request"
    line |= {name: atoms[atom] for name, atom in _REQUEST.items()}
    line["status"] = int(line["status"]) if str(line["status"]).isdigit() else None
    return _dumped(line)


def _line(created: float, level: str, logger: str, message: str, request_id: str) -> dict[str, Any]:
    return {
        "time": datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "level": level.lower(),
        "logger": logger,
        "message": message,
        "event": None,
        "reference": None,
        "code": None,
        "request_id": request_id or None,
    }


def _dumped(line: Mapping[str, Any]) -> str:
    return json.dumps({name: redact(value) if isinstance(value, str) else value for name, value in line.items()})
