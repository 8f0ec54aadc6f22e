"""Let simultaneous transactions on SQLite share one commit, because its fsync takes longer than all their statements.

The first thread leads a group. It begins a transaction, and runs its own work and the work of threads that have arrived
meanwhile: at most MOST pieces of work, each in its own savepoint. It commits once, and only then do all threads of the
group get their answers. Threads that arrive during the commit form the next group, which one of them leads. So each
thread leads at most one group, and a thread that is alone waits for no other thread.

If one piece of work fails, only its savepoint is rolled back. If the group fails (the commit, a full disk, an exception
that ends the thread), all members fail, and nothing is stored. Each wait has a limit. If a wait ends before the
thread's turn, nothing was changed. If it ends later, while the group works or commits, the outcome is unknown, and the
thread raises OutcomeUnknown.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from shared.breaker import Breaker, StoreHangs
from shared.errors import StoreUnavailable

MOST = 16  # in one commit
# Together less than the five seconds within which every request is answered.
TURN = 3.0  # seconds to wait until the work begins
ANSWER = 4.5  # seconds in all, with the commit

Result = TypeVar("Result")
Work = Callable[[Connection], Result]


class OutcomeUnknown(StoreUnavailable):
    """The commit took too long. Its changes may or may not be stored."""


class SharedCommits:
    """Runs work in shared transactions.

    *begin* starts a transaction within a number of seconds; *breaker* watches the database.
    """

    def __init__(self, begin: Callable[[float], AbstractContextManager[Connection]], breaker: Breaker) -> None:
        self._begin, self._breaker = begin, breaker
        self._lock = threading.Lock()
        self._waiting: deque[_Member[Any]] = deque()
        self._is_led = False  # whether a thread, the first in the queue, runs a group or will soon do so

    def run(self, work: Work[Result]) -> Result:
        """Return the result of *work* after its commit; or raise its exception after its rollback.

        Raises StoreUnavailable if the group failed, or its turn did not come in time, or the database hangs, and
        OutcomeUnknown if the answer did not come in time. *work* may run in another thread, so it must use no other
        connection, and must not wait for anything else. It may be rolled back, and on PostgreSQL repeated; so what it
        changes in memory must be harmless then, as a counter or a dropped entry of a cache is.
        """
        member = _Member(work)
        try:
            if self._join(member) or self._wait(member):
                self._lead(member)
        except BaseException:
            self._leave(member)
            raise
        return member.answer()

    def _join(self, member: _Member[Any]) -> bool:
        """Put *member* into the queue. Tell whether it must lead, because no other thread leads."""
        with self._lock:
            if self._is_led:
                try:
                    self._breaker.admit()
                except StoreHangs:
                    raise StoreUnavailable("the database hangs: the one before has not been written yet") from None
            leads = member.leads = not self._is_led
            self._is_led = True
            self._waiting.append(member)
        return leads

    def _wait(self, member: _Member[Any]) -> bool:
        """Wait until *member* is answered or must lead the next group; return True if it must lead."""
        ticket, ended = self._breaker.asked(), self._breaker.withdrew
        try:
            if not member.bell.acquire(timeout=TURN):
                if self._leave(member):
                    raise StoreUnavailable("the transactions before this one took too long")
                if not member.is_called and not member.bell.acquire(timeout=member.left_of(ANSWER)):
                    raise OutcomeUnknown("the commit took too long")
        except StoreUnavailable:
            ended = self._breaker.gave_up  # so that the next query does not wait too
            raise
        finally:
            ended(ticket)
        return member.leads

    def _leave(self, member: _Member[Any]) -> bool:
        """Take *member* out of the queue; tell whether it was still there. If it led, the next member leads."""
        with self._lock:
            if member not in self._waiting:
                return False
            self._waiting.remove(member)
            if member.leads:
                self._call_next()
            return True

    def _lead(self, leader: _Member[Any]) -> None:
        """Run a group, commit it, and answer its members. Then let the next member lead."""
        group: list[_Member[Any]] = []
        try:
            with self._begin(leader.left_of(TURN)) as connection:
                driver: Any = connection.connection.dbapi_connection
                while (member := self._next(group)) is not None:
                    member.run(connection, driver)
                if all(member.has_failed for member in group):
                    connection.rollback()  # nothing to store, so do not write to the disk
        except BaseException as error:
            for member in group:
                member.fail(error)
            raise
        finally:
            if group:  # otherwise the transaction did not begin, and the leader leaves the queue
                with self._lock:
                    self._call_next()
            for member in group:
                if member is not leader:
                    member.call()

    def _next(self, group: list[_Member[Any]]) -> _Member[Any] | None:
        """Move the next member from the queue into *group* and return it. Return None if there is none, or no room."""
        with self._lock:
            if len(group) == MOST or not self._waiting:
                return None
            group.append(self._waiting.popleft())
            return group[-1]

    def _call_next(self) -> None:
        """Let the first in the queue lead. The caller has the lock."""
        self._is_led = bool(self._waiting)
        if self._is_led:
            self._waiting[0].leads = True
            self._waiting[0].call()


class _Member(Generic[Result]):
    """One piece of work, and its result."""

    def __init__(self, work: Work[Result]) -> None:
        self._work = work
        self._context = copy_context()  # so that log lines have the ID of the request that asked for the work
        self._result: list[Result] = []
        self._error: Exception | None = None
        self._came_at = time.monotonic()
        self.leads = self.is_called = False
        self.bell = threading.Lock()
        self.bell.acquire()

    @property
    def has_failed(self) -> bool:
        """Whether the work raised an exception."""
        return self._error is not None

    def left_of(self, seconds: float) -> float:
        """Return how many of *seconds* are left, counted from the arrival of this work."""
        return max(0.0, self._came_at + seconds - time.monotonic())

    def call(self) -> None:
        """Wake the waiting thread: it must lead, or it has an answer."""
        self.is_called = True
        self.bell.release()

    def run(self, connection: Connection, driver: Any) -> None:
        """Do the work in a savepoint. Raises only exceptions that end the whole group."""
        _execute(driver, "SAVEPOINT member")
        try:
            self._result.append(self._context.run(self._work, connection))
        except Exception as error:
            self._error = error
        if self.has_failed:
            _execute(driver, "ROLLBACK TO member")  # fails if SQLite itself has rolled back the whole transaction
        _execute(driver, "RELEASE member")

    def fail(self, error: BaseException) -> None:
        """Record that the group failed because of *error*, so nothing of it was stored."""
        self._error = StoreUnavailable(f"the commit that was shared with others failed: {type(error).__name__}")

    def answer(self) -> Result:
        """Return the result, or raise the exception of the work."""
        if self._error is None:
            return self._result[0]
        try:
            raise self._error
        finally:
            self._error = None  # break the reference cycle: the traceback refers to this object


def _execute(driver: Any, statement: str) -> None:
    try:
        driver.execute(statement)
    except driver.Error as error:
        raise StoreUnavailable(f"the database did not answer: {type(error).__name__}") from error
