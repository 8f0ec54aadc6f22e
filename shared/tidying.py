"""Delete all expired data, in steps so small that no sign-in has to wait for them.

A database allows few writers at a time, and SQLite only one. So each step is a transaction that deletes a few rows,
which it finds by an index. Other transactions can write between two steps. If a step is slow (a slow disk, a large
table), the next step is smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 100  # rows in a step; to delete a thousand rows takes 35 ms
LEAST_ROWS = 20  # fewer rows do not make a step shorter, because the commit takes most of the time
LONG_STEP = 0.010  # seconds of a write transaction; after a longer transaction the next step is half as large
SHORT_STEP = 0.007  # seconds; after a shorter transaction the next step may be larger again
PAUSE = 0.010  # seconds after each step, for other writers

Step = Callable[[Any, int], int]
"""Deletes at most the given number of rows on a connection, oldest first, and returns how many rows it deleted."""


@dataclass
class _Task:
    step: Step
    rows: int = MOST_ROWS
    done: bool = False


def tidy(
    writing: Callable[[], AbstractContextManager[Any]],
    steps: Sequence[Step],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Repeat *steps* in turn until no expired row is left or about *seconds* have passed. Tell whether no row is left.

    *writing* opens a write transaction.
    """
    tasks, ends_at = [_Task(step) for step in steps], clock() + seconds
    while True:
        for task in tasks:
            _run(task, writing, clock)
            pause(PAUSE)
        tasks = [task for task in tasks if not task.done]
        if not tasks or clock() >= ends_at:
            return not tasks


def _run(task: _Task, writing: Callable[[], AbstractContextManager[Any]], clock: Callable[[], float]) -> None:
    with writing() as connection:
        began = clock()  # do not count the wait for other writers
        task.done = task.step(connection, task.rows) < task.rows
    took = clock() - began
    if took > LONG_STEP:
        task.rows = max(LEAST_ROWS, task.rows // 2)
    elif took < SHORT_STEP:
        task.rows = min(MOST_ROWS, task.rows * 2)
