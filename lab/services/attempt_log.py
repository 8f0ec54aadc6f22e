"""Write each attempt as one JSON object a line, into a file that only its owner can read. It contains no tokens."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from lab.services.memory import Attempt

OWNER_ONLY = 0o600


class AttemptLog:
    """Appends to *path*. Raises OSError if it cannot be opened, or if others may read it."""

    def __init__(self, path: Path, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, OWNER_ONLY)
        if os.fstat(descriptor).st_mode & 0o077:
            os.close(descriptor)
            raise OSError(0, "other users of this machine may read it: chmod 600", str(path))
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def write(self, attempt: Attempt) -> None:
        """Append *attempt*."""
        at = datetime.fromtimestamp(attempt.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "service": self._service, **as_json(attempt)})
        with self._lock:
            self._file.write(f"{line}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_json(attempt: Attempt) -> dict[str, object]:
    """Return an attempt as JSON values."""
    return {
        "accepted": attempt.accepted,
        "rule": attempt.rule,
        "found": attempt.found,
        "claims": dict(attempt.claims),
        "delivery": attempt.delivery,
        "sent_to": attempt.sent_to,
    }
