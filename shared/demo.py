"""Connect the gateway and the identity provider of a demo on one machine, through a file in the instance folder.

The file contains generated secrets and the URLs of the two programs, and only its owner can read it. It is written
under a lock, because both programs may start at once. The file is created only if no secret key is configured. There is
no default secret.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shared.private_files import make_private_folder

FILE = "demo.json"
PROVIDER = "demo"  # the name under which the gateway knows the identity provider
SERVICE = "demo"  # the name under which the identity provider knows the gateway


@dataclass(frozen=True)
class DemoPair:
    """The secrets and URLs of a demo pair. Both programs sign and verify tokens with `token_key` (HS256)."""

    sp_secret_key: str
    idp_secret_key: str
    token_key: str
    sp_url: str = "http://127.0.0.1:5000"
    idp_url: str = "http://127.0.0.1:5001"

    @classmethod
    def generate(cls) -> DemoPair:
        return cls(*(secrets.token_urlsafe(48) for _ in range(3)))


def read(instance: Path) -> DemoPair:
    """Return the pair of *instance*, and create it if it does not exist."""
    with _locked(instance):
        return _load(instance)


def announce(instance: Path, *, sp_url: str | None = None, idp_url: str | None = None) -> None:
    """Store the URL of this program in the file, from which the other program reads it."""
    with _locked(instance):
        pair = _load(instance)
        _store(instance, replace(pair, sp_url=sp_url or pair.sp_url, idp_url=idp_url or pair.idp_url))


def _load(instance: Path) -> DemoPair:
    path = instance / FILE
    if path.exists():
        return DemoPair(**json.loads(path.read_text(encoding="utf-8")))
    pair = DemoPair.generate()
    _store(instance, pair)
    return pair


def _store(instance: Path, pair: DemoPair) -> None:
    """Replace the file atomically, so that a reader never sees an incomplete file, even after a crash."""
    new = instance / f"{FILE}.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(pair), file, indent=2)
    new.replace(instance / FILE)


@contextmanager
def _locked(instance: Path) -> Iterator[None]:
    make_private_folder(instance)
    with open(os.open(instance / f"{FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
