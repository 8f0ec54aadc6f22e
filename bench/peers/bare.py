"""An application without a gateway, on our own server: python -m bench.peers.bare --port PORT

It runs on the same server as the gateway and the identity provider. BENCH_APP names the application: module:factory.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from shared.serving import main


def log_format() -> str:
    """Return the format of the logs."""
    return "text"


def prepare(_host: str, _port: int) -> str:
    """Prepare nothing; return the banner."""
    return os.environ["BENCH_APP"]


def create_wsgi() -> Any:
    """Return the application."""
    module, _colon, name = os.environ["BENCH_APP"].partition(":")
    return getattr(importlib.import_module(module), name)()


def _this_module() -> ModuleType:
    return sys.modules[__name__]


if __name__ == "__main__":
    main(_this_module, "Serve an application without a gateway.", default_port=5000)
