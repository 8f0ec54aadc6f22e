"""Clean-up in small steps: smaller when they take long, in turns, and until no expired row is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.tidying import LEAST_ROWS, LONG_STEP, MOST_ROWS, tidy


class Table:
    """So many rows that are over, on a disk that takes so many seconds for each."""

    def __init__(self, rows: int, seconds_per_row: float = 0.0) -> None:
        self.rows, self.seconds_per_row = rows, seconds_per_row
        self.steps: list[int] = []
        self.now = 0.0

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.now += 5.0  # the wait for another writer, which is not the step's own
        yield

    def step(self, _connection: Any, rows: int) -> int:
        deleted = min(rows, self.rows)
        self.rows -= deleted
        self.now += deleted * self.seconds_per_row
        self.steps.append(deleted)
        return deleted

    def clock(self) -> float:
        return self.now


def clean(table: Table, seconds: float = 1e9) -> bool:
    return tidy(table.writing, [table.step], seconds=seconds, clock=table.clock, pause=lambda _seconds: None)


def test_it_goes_on_until_nothing_is_left() -> None:
    table = Table(10 * MOST_ROWS + 1)
    assert clean(table)
    assert table.steps == [MOST_ROWS] * 10 + [1]


def test_a_slow_disk_gets_smaller_steps() -> None:
    table = Table(500, seconds_per_row=LONG_STEP / 40)
    assert clean(table)
    assert table.steps[:3] == [100, 50, 25]
    assert all(rows * table.seconds_per_row <= 2 * LONG_STEP for rows in table.steps[1:])


def test_steps_become_larger_again_and_never_too_small() -> None:
    table = Table(1_000, seconds_per_row=1.0)
    table.step, slow = _speeding_up(table), table.step  # type: ignore[method-assign]
    assert clean(table)
    assert slow is not table.step
    assert min(table.steps[:-1]) == LEAST_ROWS
    assert MOST_ROWS in table.steps[8:]


def _speeding_up(table: Table) -> Any:
    slow = table.step

    def step(connection: Any, rows: int) -> int:
        if len(table.steps) == 7:
            table.seconds_per_row = 0.0
        return slow(connection, rows)

    return step


def test_a_table_with_much_to_delete_does_not_keep_the_others_waiting() -> None:
    large, small = Table(100 * MOST_ROWS, seconds_per_row=0.001), Table(3)
    assert not tidy(
        large.writing, [large.step, small.step], seconds=8.0, clock=large.clock, pause=lambda _seconds: None
    )
    assert small.rows == 0
