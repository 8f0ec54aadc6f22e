"""No text of a stranger keeps a worker busy: every regular expression of the programs takes time in proportion.

Python's engine holds the interpreter's lock while it works, so one text on which it goes back and forth stops every
thread of a worker.
"""

import re
import time
from pathlib import Path

import pytest

from shared.tokens import redact
from tests.support.patterns import Used, nasty_texts, patterns, run

SIZE = 16_384  # bytes: the longest request line that the server takes
MOST_SECONDS = 0.05  # of CPU time; work in proportion takes about 1 ms, in proportion to the square from 0.15 to 3 s
TRIES = 3  # another process may take the core's caches away, but hardly three times


@pytest.mark.parametrize("used", patterns(), ids=lambda used: used.where)
def test_16_kilobytes_of_any_shape_cost_a_pattern_no_more_than_its_length(used: Used) -> None:
    for text in nasty_texts(used.pattern, SIZE):
        for method in used.methods:
            assert cost(used, method, text) < MOST_SECONDS, (used.pattern.pattern, method, text[:40])


@pytest.mark.parametrize(
    "word",
    [
        "eyJ",
        "ey",
        "ewog",
        "eyJaaaa.",
        "eyJaaaa.eyJ",
        "ewogICJhbGci.",
        "aeyJ",
        "-eyJ",
        "%2e",
        "eyJaaaa%2e",
        "token=",
        "jwt",
    ],
)
def test_a_request_line_made_to_look_like_many_tokens_is_redacted_at_once(word: str) -> None:
    line = (word * SIZE)[:SIZE]
    started = time.thread_time()
    redact(line)
    assert time.thread_time() - started < MOST_SECONDS


def test_a_new_pattern_is_found_wherever_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "sp").mkdir()
    (tmp_path / "sp" / "new.py").write_text(
        "import re\n\n\ndef words(text: str, name: str) -> list[str]:\n"
        '    return re.split(rf"{re.escape(name)}+$", text)\n'
    )
    (used,) = patterns(tmp_path)
    assert (used.pattern.pattern, used.methods) == ("jwt+$", ("split",))


def test_a_pattern_that_goes_back_and_forth_is_caught() -> None:
    with pytest.raises(AssertionError):
        test_16_kilobytes_of_any_shape_cost_a_pattern_no_more_than_its_length(
            Used("here", re.compile("eyJ\\w+!"), ("search",))
        )


def cost(used: Used, method: str, text: str) -> float:
    """Return the CPU seconds of one use, the least of some tries."""
    least = float("inf")
    for _ in range(TRIES):
        started = time.thread_time()
        run(used.pattern, method, text)
        least = min(least, time.thread_time() - started)
        if least < MOST_SECONDS:
            break
    return least
