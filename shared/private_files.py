"""Create files and folders that only their owner may read, because they contain personal data and secrets.

The mode is set when a file or folder is created, so every program and command creates it private, with any umask.
run_sp.py and run_idp.py also set the umask, because they or their libraries may write other files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077  # group and all others


def keep_to_owner() -> None:
    """Set the umask, so that other users cannot open new files of this process."""
    os.umask(OTHERS)


def make_private_folder(folder: Path) -> Path:
    """Create *folder* for its owner only, if it does not exist, and return it. An existing folder is not changed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def make_private_file(path: str | Path) -> None:
    """Create an empty file for its owner only, if it does not exist.

    An existing file is not opened. Closing any handle of a file would drop every POSIX lock that this process has on
    the file, and SQLite uses such locks.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def exposures(instance: Path, database_url: str) -> Iterator[str]:
    """Return a warning for each path that other users of this machine can open, with the command that prevents it."""
    if _mode(instance) & OTHERS:
        yield f"{instance} is open to other users of this machine (mode {_mode(instance):04o}): chmod 700 {instance}"
    database = Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:///") else None
    if database is not None and _mode(database) & OTHERS and _mode(database.parent) & 0o011:
        yield f"{database} is open to other users of this machine (mode {_mode(database):04o}): chmod 600 {database}*"


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
