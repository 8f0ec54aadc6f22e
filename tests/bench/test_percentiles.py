"""The percentiles of what was measured, and when they are not believed."""

import pytest

from bench.gateways import is_allowed
from bench.percentiles import Load, _why_not_believed


def measured() -> Load:
    load = Load("forward-auth", 0, lambda count: [b""] * count, is_allowed)
    load.waits[50] += [[1.0] * 98 + [3.0, 9.0], [2.0] * 98 + [4.0, 9.0]]
    return load


def test_the_tail_is_taken_of_each_round_by_itself() -> None:
    assert measured().tail(50).values == (3.0, 2.0)


def test_a_row_tells_the_median_of_the_rounds_and_the_percentiles_of_all_of_them() -> None:
    row = measured().row(50)
    assert row.value == 1.5
    assert row.note == "p95 2.0, p99 4.0, p99.9 9.0 ms"


@pytest.mark.parametrize(("own", "believed"), [(2.0, True), (2.1, False)])
def test_a_tail_that_may_be_the_clients_is_not_believed(own: float, believed: bool) -> None:
    assert (_why_not_believed(4.0, own) == "") is believed
