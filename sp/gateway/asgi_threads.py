"""Run blocking work in threads for an event loop, with a fixed number of threads and a limit on each wait.

A database that does not answer must neither block the event loop nor fill it with waiting requests. So if work does not
begin and end in time, the caller gets StoreUnavailable. The thread continues to wait until the time limits of the
gateway's database connection (shared/schema.py) end the wait. Meanwhile the circuit breaker (shared/breaker.py)
prevents other threads from waiting too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

from shared.errors import StoreUnavailable
from shared.threads import Threads

MAX_WAITING = 1_000  # calls of `run` that wait, in each worker; further calls are rejected at once

T = TypeVar("T")


class LoopThreads:
    """At most *size* threads for the event loop of one worker.

    They start when the first work arrives and not earlier, because threads do not survive a fork.
    """

    def __init__(self, size: int) -> None:
        self.threads = Threads(size)
        self._waiting = 0

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Run *work* in a thread, and return its result within *seconds*.

        Raises StoreUnavailable, and the errors of *work*.
        """
        if self._waiting >= MAX_WAITING:
            raise StoreUnavailable("too many requests wait for the database")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        context = copy_context()  # the ID of the request, for log lines

        def task() -> None:
            if result.done():  # it timed out before it began
                return
            try:
                value = context.run(work)
            except BaseException as error:
                from_thread(loop, _fail, result, error)
            else:
                from_thread(loop, _succeed, result, value)

        self._waiting += 1
        self.threads.submit(task)
        try:
            return await asyncio.wait_for(result, seconds)
        except TimeoutError as error:
            raise StoreUnavailable("the database did not answer in time") from error
        finally:
            self._waiting -= 1


def from_thread(loop: asyncio.AbstractEventLoop, act: Callable[..., object], *arguments: object) -> None:
    """Call *act* in the *loop*, unless the loop has ended."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(act, *arguments)


def _succeed(result: asyncio.Future[T], value: T) -> None:
    if not result.done():
        result.set_result(value)


def _fail(result: asyncio.Future[T], error: BaseException) -> None:
    if not result.done():
        result.set_exception(error)
