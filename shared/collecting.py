"""Exclude the modules that a program loads from garbage collection, because they stay until the process ends.

Without this, the garbage collector would scan all objects many times during the imports. Later, each full collection
would scan the modules again, and would stop all requests of the process for 35 to 50 ms (measured).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """Load the program inside this `with` block. After the block, the garbage collector scans only newer objects."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
