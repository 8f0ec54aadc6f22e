"""How far a store's clock is from ours, however long the query takes."""

import pytest

from shared.clocks import complaint, seconds_ahead


@pytest.mark.parametrize(
    ("theirs", "ahead"),
    [(100.0, 0.0), (103.0, 0.0), (104.0, 0.0), (104.5, 0.5), (700.0, 596.0), (99.0, -1.0), (0.0, -100.0)],
)
def test_what_the_question_took_is_no_difference(theirs: float, ahead: float) -> None:
    ours = iter([100.0, 104.0])
    assert seconds_ahead(lambda: theirs, lambda: next(ours)) == ahead


@pytest.mark.parametrize("ahead", [0, 1, 5, -5, 4.9])
def test_a_small_difference_is_not_worth_a_word(ahead: float) -> None:
    assert complaint("Redis", ahead) is None


def test_a_large_difference_says_whose_clock_and_in_which_direction() -> None:
    assert complaint("Redis", 5.6) == "clock: Redis is 6 seconds ahead of this machine; set both by NTP"
    assert complaint("the database", -600) == (
        "clock: the database is 600 seconds behind this machine; set both by NTP"
    )
