"""Write log records as JSON: one object a line, with the time in UTC as RFC 3339 has it.

Each object has `time`, `level`, `logger`, `message`, and `event`, `reference`, `code` and `request_id`, which are null
where there is none. A line of the access log has the parts of the request besides. No text can end a line or add a
name: JSON escapes it.
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
    """Formats a record as one line of JSON. `extra` gives it `event`, `reference` and `code`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        is_request = record.name == ACCESS_LOGGER and isinstance(record.args, Mapping)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "event": "request" if is_request else getattr(record, "event", None),
            "reference": getattr(record, "reference", None),
            "code": getattr(record, "code", None),
            "request_id": current() or None,
        }
        if is_request:
            line |= _parts_of_request(record.args)
        if record.exc_info:
            line["traceback"] = traceback_lines(record.exc_info)
        return json.dumps({name: redact(value) if isinstance(value, str) else value for name, value in line.items()})


def _parts_of_request(atoms: Any) -> dict[str, Any]:
    found = {name: atoms[atom] for name, atom in _REQUEST.items()}
    return found | {"status": int(found["status"]) if str(found["status"]).isdigit() else None}
