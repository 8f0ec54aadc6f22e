"""Run a coroutine in a separate thread: after a browser's test, this process already has a running event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def in_a_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Return what *work* returns, or raise what it raises."""
    result: Result = in_a_thread(asyncio.run, work)
    return result


def in_a_thread(work: Callable[..., Result], *arguments: Any, **more: Any) -> Result:
    """Return what *work* returns, called in a separate thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work, *arguments, **more).result()
