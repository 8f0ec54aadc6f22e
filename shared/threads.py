"""Run requests in a fixed number of working threads. A spare thread replaces each thread that waits for a client.

A thread may have to wait in the middle of a request: for the rest of an upload, or for a client that reads slowly.
Meanwhile a spare thread works in its place, so the number of working threads stays the same. If threads wait for more
clients than there are spare threads, the client that has been slowest since its request began is dropped. The length of
the current wait does not decide, because a client that sends byte by byte begins a new wait with each byte. So even
many slow clients cannot occupy all threads, and a client that only pauses now and then is not dropped in their place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TAKE_YOUR_TIME = "lychgate.take_your_time"  # a function in the environ: removes the minimum rate for body and response
SPARE = 64  # per worker: number of clients for which a thread may wait at the same time

Task = Callable[[], None]


class InThread(Exception):
    """`answer_at_once` raises this if it has decided on the request, but *application* must answer in a thread."""

    def __init__(self, application: WSGIApplication) -> None:
        super().__init__("this answer may have to wait")
        self.application = application


class Client(Protocol):
    """The client that a thread waits for."""

    def slowness(self) -> float:
        """Return how slow the client has been since its request began."""

    def give_up(self) -> None:
        """Stop the thread that waits for this client."""


class Threads:
    """Runs tasks in *size* threads. A task must not raise an exception."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._turns = threading.Semaphore(size)  # a thread that holds the semaphore runs tasks
        self._one_at_a_time = threading.Lock()
        self._ours: set[int] = set()
        self._slow: dict[Client, None] = {}  # the clients that threads wait for, longest first
        self._started = self._too_many = 0

    def submit(self, task: Task) -> None:
        """Run *task* as soon as a thread is free. Threads start with the first tasks, and so after any fork."""
        if self._started < self._size:
            with self._one_at_a_time:
                self._start()
        self._tasks.put(task)

    def include_this_one(self) -> bool:
        """Tell whether the calling thread belongs to this pool."""
        return threading.get_ident() in self._ours

    @contextmanager
    def waiting_for(self, client: Client) -> Iterator[None]:
        """Let another thread work while this thread waits for *client* inside the block."""
        with self._one_at_a_time:
            self._slow[client] = None
            if len(self._slow) > SPARE:
                self._give_up_the_slowest()
            if self._started < self._size + len(self._slow):
                self._start()
            self._turns.release()
        try:
            yield
        finally:
            with self._one_at_a_time:
                self._slow.pop(client, None)
                if not self._turns.acquire(blocking=False):
                    self._too_many += 1  # until another thread has finished its task

    def shutdown(self, wait: bool = False) -> None:
        """Do nothing, because these threads end with the process, even a thread that hangs."""

    def _give_up_the_slowest(self) -> None:
        """Drop the slowest client. The thread that waits for it is soon free, so this thread needs no replacement."""
        slowest = max(self._slow, key=lambda client: client.slowness())
        del self._slow[slowest]
        slowest.give_up()

    def _start(self) -> None:
        self._started += 1
        threading.Thread(target=self._work, name=f"request-{self._started}", daemon=True).start()

    def _work(self) -> None:
        self._ours.add(threading.get_ident())
        while True:
            self._turns.acquire()
            while not self._steps_back():
                self._tasks.get()()

    def _steps_back(self) -> bool:
        """Tell whether this thread must stop working, because threads that waited for clients work again."""
        if not self._too_many:
            return False
        with self._one_at_a_time:
            one_too_many = self._too_many > 0
            self._too_many -= one_too_many
            return one_too_many
