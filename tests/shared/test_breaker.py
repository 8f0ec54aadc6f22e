"""A store that hangs costs a few callers their timeout, and the others nothing."""

import threading

import pytest

from shared.breaker import Breaker
from shared.errors import StoreUnavailable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("the store", (TimeoutError,), rest=2.0, clock=clock)


def hang(breaker: Breaker) -> None:
    with pytest.raises(TimeoutError), breaker.asking():
        raise TimeoutError


def ask(breaker: Breaker) -> str:
    with breaker.asking():
        return "answered"


def test_after_a_timeout_the_store_is_not_asked_for_a_while(breaker: Breaker, clock: Clock) -> None:
    assert ask(breaker) == "answered"
    hang(breaker)
    clock.now += 1.9
    with pytest.raises(StoreUnavailable, match="the store did not answer a moment ago"):
        ask(breaker)


def test_a_store_that_answers_again_is_used_again(breaker: Breaker, clock: Clock) -> None:
    hang(breaker)
    clock.now += 2
    assert [ask(breaker) for _ in range(3)] == ["answered"] * 3


def test_a_probe_that_times_out_begins_the_rest_again(breaker: Breaker, clock: Clock) -> None:
    hang(breaker)
    clock.now += 2
    hang(breaker)
    clock.now += 1.9
    with pytest.raises(StoreUnavailable):
        ask(breaker)
    clock.now += 0.1
    assert ask(breaker) == "answered"


def test_one_caller_asks_alone_while_all_others_are_refused(breaker: Breaker, clock: Clock) -> None:
    hang(breaker)
    clock.now += 2
    asking, answer = threading.Event(), threading.Event()

    def probe() -> None:
        with breaker.asking():
            asking.set()
            answer.wait(30)

    thread = threading.Thread(target=probe)
    thread.start()
    assert asking.wait(30)
    clock.now += 60
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            ask(breaker)
    answer.set()
    thread.join(30)
    assert ask(breaker) == "answered"


def test_an_error_that_the_store_answers_with_is_an_answer(breaker: Breaker, clock: Clock) -> None:
    with pytest.raises(ValueError, match="refused"), breaker.asking():
        raise ValueError("refused")
    assert ask(breaker) == "answered"
    hang(breaker)
    clock.now += 2
    with pytest.raises(ValueError, match="refused"), breaker.asking():
        raise ValueError("refused")
    assert ask(breaker) == "answered"
