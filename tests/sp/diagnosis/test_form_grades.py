"""Whether unknown people are answered faster: what visits of a given length come to, and how many there are."""

from collections.abc import Iterator, Sequence
from http.client import HTTPMessage
from itertools import chain, repeat

import pytest

from sp.diagnosis.browsing import Page
from sp.diagnosis.form_grades import guesses
from sp.diagnosis.journey import Journey

KNOWN, UNKNOWN = "alice@example.org", "nobody@example.org"

# Milliseconds: the visits with the known e-mail, those with the unknown one; the last number goes on.
FASTER = [
    ([100], [3]),
    ([100], [300, 3]),  # one was held up by something else
    ([100], [3, 300, 3]),
    ([100], [3, 3, 3, 300, 3]),
    ([100], [3, 300, 3, 300, 3]),
    ([900, 100], [30]),
]
NOT_FASTER = [
    ([100], [100]),
    ([1000, 100], [100]),  # the first was held up
    ([1000, 100], [100, 1, 100]),
    ([1000, 1000], [100, 400, 100, 400, 400]),
    ([100], [100, 10, 100]),
    ([100], [40, 40, 40]),
    ([29], [1]),  # too fast to be told from the noise
    ([100, 29], [1]),
]


def journey(milliseconds: float, email: str, text: str = "The password is wrong.") -> Journey:
    form = Page("https://idp.example/", 200, HTTPMessage(), "", (), "Sign in")
    answer = Page(
        "https://idp.example/", 401, HTTPMessage(), "", (), "Sign in", f"{email}: {text}", milliseconds / 1000
    )
    return Journey([form, answer], typed_at=1)


def visits(known: Sequence[float], unknown: Sequence[float], texts: Iterator[str]) -> tuple[dict[str, str], list[str]]:
    """Return the outcomes of visits that take so long, and the e-mails typed in them."""
    seconds = {email: chain(these, repeat(these[-1])) for email, these in ((KNOWN, known), (UNKNOWN, unknown))}
    typed = [KNOWN]

    def guess(email: str) -> Journey:
        typed.append(email)
        return journey(next(seconds[email]), email, next(texts))

    first = journey(next(seconds[KNOWN]), KNOWN)
    return {finding.check: finding.outcome for finding in guesses(first, guess, (KNOWN, UNKNOWN))}, typed


@pytest.mark.parametrize(("known", "unknown"), FASTER)
def test_a_faster_answer_for_unknown_people_is_found_among_slow_visits(
    known: Sequence[float], unknown: Sequence[float]
) -> None:
    found, _typed = visits(known, unknown, repeat("The password is wrong."))
    assert found == {"user_enumeration": "passed", "user_timing": "advice"}


@pytest.mark.parametrize(("known", "unknown"), NOT_FASTER)
def test_in_doubt_unknown_people_are_not_answered_faster(known: Sequence[float], unknown: Sequence[float]) -> None:
    found, _typed = visits(known, unknown, repeat("The password is wrong."))
    assert found == {"user_enumeration": "passed", "user_timing": "passed"}


@pytest.mark.parametrize("allowed", range(1, 5))
def test_a_page_about_too_many_attempts_comes_fast_and_tells_nothing(allowed: int) -> None:
    texts = chain(repeat("The password is wrong.", allowed), repeat("You have tried too often."))
    found, _typed = visits([100], [3], texts)
    assert found["user_timing"] == "passed"


def test_the_known_person_gets_one_wrong_password_and_a_second_only_on_suspicion() -> None:
    def typed(known: Sequence[float], unknown: Sequence[float]) -> list[str]:
        return visits(known, unknown, repeat("The password is wrong."))[1]

    assert typed([29], [1]) == [KNOWN, UNKNOWN]
    assert typed([100], [100]) == [KNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert typed([100], [3]) == [KNOWN, UNKNOWN, UNKNOWN, UNKNOWN, KNOWN, UNKNOWN, UNKNOWN]


def test_another_page_for_unknown_people_is_enough_and_is_not_timed() -> None:
    found, typed = visits([100], [3], repeat("There is no such person."))
    assert found == {"user_enumeration": "advice"}
    assert typed == [KNOWN, UNKNOWN]
