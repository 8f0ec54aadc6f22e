"""A row is met, missed or void, and says how far its rounds lie apart."""

import pytest

from bench.__main__ import status
from bench.timing import MET, MISSED, PAIRS, TOLD, VOID, Rounds, Row, in_turns, per_call, told, unmeasured

STEADY = Rounds([2.0, 2.1, 1.9])


def test_a_row_as_good_as_wanted_is_met() -> None:
    assert Row("rate", STEADY, "x", 2.0).verdict == MET
    assert Row("time", STEADY, "ms", 2.0, at_most=True).verdict == MET
    assert str(Row("rate", STEADY, "x", 2.0)).startswith("ok ")


def test_a_row_that_is_worse_is_missed_in_both_directions() -> None:
    assert Row("rate", STEADY, "x", 2.01).verdict == MISSED
    assert Row("time", STEADY, "ms", 1.99, at_most=True).verdict == MISSED
    assert str(Row("rate", STEADY, "x", 2.01)).startswith("MISS")


def test_a_row_says_its_lowest_and_highest_round_and_their_number() -> None:
    line = str(Row("rate", STEADY, "x", 2.0, note="2,000/s"))
    assert "2.00 x" in line
    assert "1.9 to 2.1 in 3 rounds; 2,000/s" in line
    assert "measured once" in str(Row("rate", 2.0, "x", 2.0))


def test_a_row_whose_rounds_lie_too_far_apart_is_void_and_says_why_although_its_median_is_good() -> None:
    row = Row("rate", Rounds([2.0, 9.0, 3.0]), "x", 2.0)
    assert row.verdict == VOID
    assert not row.met
    assert str(row).startswith("VOID")
    assert "its rounds differ by 233% of their median, more than 50%" in str(row)


def test_the_stated_spread_is_the_limit() -> None:
    rounds = Rounds([1.75, 2.0, 2.75])
    assert rounds.spread == 0.5
    assert Row("rate", rounds, "x", 1.0).verdict == MET
    assert Row("rate", rounds, "x", 1.0, most_spread=0.49).verdict == VOID


@pytest.mark.parametrize("values", [[0.0, 0.0], [-1.0, 0.0, 1.0], [1.0, float("nan"), 1.0]])
def test_rounds_around_zero_or_without_a_number_are_void(values: list[float]) -> None:
    assert Row("difference", Rounds(values), "us", 5.0, at_most=True).verdict == VOID


def test_what_could_not_be_measured_is_void_with_its_reason() -> None:
    row = unmeasured("times Node", "npm is missing")
    assert row.verdict == VOID
    assert "npm is missing" in str(row)
    assert "measured once" not in str(row)


def test_a_row_without_a_target_is_told_and_spoils_no_run() -> None:
    row = told("p50", Rounds([1.0, 3.0]), "ms", "p99 4 ms")
    assert row.verdict == TOLD
    assert "wanted" not in str(row)
    assert status([row]) == 0
    assert told("p50", Rounds([1.0, 3.0]), "ms", most_spread=0.5).verdict == VOID


def test_the_run_succeeds_only_if_every_row_is_met() -> None:
    met, missed = Row("a", STEADY, "x", 2.0), Row("b", STEADY, "x", 3.0)
    assert status([met, met]) == 0
    assert status([met, missed]) == 1
    assert status([met, unmeasured("c", "no wrk")]) == 1


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, theirs = Rounds([10.0, 20.0, 30.0]), Rounds([5.0, 20.0, 10.0])
    assert (ours / theirs).values == (2.0, 1.0, 3.0)
    assert ours / theirs == 2.0
    assert (ours - theirs).values == (5.0, 0.0, 20.0)
    assert (ours * 2).values == (2 * ours).values == (20.0, 40.0, 60.0)
    assert (60 / ours).values == (6.0, 3.0, 2.0)


def test_rounds_of_different_numbers_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        _ = Rounds([1.0, 2.0]) / Rounds([1.0])


def test_all_take_turns() -> None:
    calls: list[str] = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    found = in_turns({"a": lambda: measure("a"), "b": lambda: measure("b")})
    assert calls == ["a", "b"] * PAIRS
    assert (found["b"] - found["a"]).values == (1.0,) * PAIRS


def test_a_call_is_timed_in_every_round() -> None:
    found = per_call({"nothing": lambda: None, "sum": lambda: sum(range(1_000))}, seconds=0.001)
    assert len(found["sum"].values) == PAIRS
    assert found["sum"] > found["nothing"] > 0
