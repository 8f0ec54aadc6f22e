"""Which refusals get a line each, and that a program that ends writes its last counts."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from shared.folding import BURST, KIND_BURST, KIND_PER_MINUTE, PER_MINUTE, Budget, Count, Tally

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from shared.folding import Tally
tally = Tally(lambda counts: print(counts))
tally.count("refused", 100)
tally.count("refused", 103, times=6)
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(budget: Budget, kind: str, tries: int) -> int:
    """Return how many bytes got in, by rows of one kibibyte."""
    return 1024 * sum(budget.take(kind, 1024) for _ in range(tries))


def test_a_kind_gets_a_burst_and_then_a_few_a_minute() -> None:
    clock = Clock()
    budget = Budget(clock)
    assert taken(budget, "a", 10_000) == KIND_BURST
    clock.now += 60
    assert taken(budget, "a", 10_000) == KIND_PER_MINUTE // 1024 * 1024
    clock.now += 1_000_000
    assert taken(budget, "a", 10_000) == KIND_BURST


def test_attack_many_kinds_together_get_no_more_than_the_whole() -> None:
    clock = Clock()
    budget = Budget(clock)
    assert sum(taken(budget, str(kind), 1_000) for kind in range(50)) == BURST
    clock.now += 60
    assert sum(taken(budget, str(kind), 1_000) for kind in range(50)) == PER_MINUTE


def test_attack_long_rows_are_fewer() -> None:
    short, long = Budget(Clock()), Budget(Clock())
    assert sum(short.take("a", 400) for _ in range(10_000)) == KIND_BURST // 400
    assert sum(long.take("a", 4_000) for _ in range(10_000)) == KIND_BURST // 4_000


def test_a_program_that_ends_writes_its_last_counts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "{'refused': Count(times=7, first=100, last=103)}\n"


def test_a_flush_waits_for_a_write_that_its_timer_has_begun() -> None:
    began, may_end, written = threading.Event(), threading.Event(), list[str]()

    def write(counts: Mapping[str, Count]) -> None:
        began.set()
        assert may_end.wait(10)
        written.extend(counts)

    tally = Tally(write, after=0)
    tally.count("refused", 100)
    assert began.wait(10)
    flush = threading.Thread(target=tally.flush)
    flush.start()
    flush.join(0.05)
    was_waiting = flush.is_alive()
    may_end.set()
    flush.join(10)
    assert was_waiting
    assert written == ["refused"]
