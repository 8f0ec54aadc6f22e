"""The clock that a test moves."""

import time
from datetime import timedelta

import pytest

from lab.clock import Clock
from shared.clock import time_now, utc_now


def test_it_is_the_systems_until_it_is_moved() -> None:
    before = time.time()
    shown = time_now()
    assert before <= shown <= time.time()


def test_a_tick_moves_what_both_programs_ask(clock: Clock) -> None:
    before = utc_now()
    clock.tick(days=1, hours=2, minutes=3, seconds=4)
    passed = utc_now() - before - timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert timedelta(0) <= passed < timedelta(minutes=1)
    assert clock.time() == pytest.approx(time_now(), abs=60)
    assert abs(clock.now() - utc_now()) < timedelta(minutes=1)


def test_ticks_add_up_and_a_reset_takes_them_back(clock: Clock) -> None:
    clock.tick(hours=2)
    clock.tick(hours=2)
    assert time_now() - time.time() == pytest.approx(4 * 3600, abs=60)
    clock.reset()
    assert time_now() - time.time() == pytest.approx(0, abs=60)
