"""Put the temporary files of the tests into memory where there is room, because most tests write to a database.

Each commit waits for the disk, and nothing that a test asserts depends on the disk: what a killed process has written
is there afterwards in memory as well. A TMPDIR or PYTEST_DEBUG_TEMPROOT of the user's own is respected.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108, the folders in it are private
NEEDED = 4 << 30  # bytes: a whole run takes about a quarter of it
SETTINGS = ("TMPDIR", "PYTEST_DEBUG_TEMPROOT")


def use_memory(folder: Path = MEMORY) -> bool:
    """Use *folder* for temporary files from now on if it is in memory and has room; tell whether it is used."""
    if any(os.environ.get(name) for name in SETTINGS) or not _has_room(folder):
        return False
    os.environ.update(dict.fromkeys(SETTINGS, str(folder)))
    tempfile.tempdir = None  # what was found before
    return True


def _has_room(folder: Path) -> bool:
    """Programs of the tests are installed there, so a file system without execution does not do."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= NEEDED and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)
