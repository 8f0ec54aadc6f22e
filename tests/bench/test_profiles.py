"""The profile of a part names what it costs, in time for each request."""

import cProfile

import pytest

from bench.__main__ import main
from bench.profiles import PROFILES, costliest_functions, profile_of


def dear() -> int:
    return sum(range(200_000))


def cheap() -> int:
    return 1


def test_the_costliest_functions_come_first_with_their_calls_in_a_request() -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(4):
        dear()
        cheap()
        cheap()
    profile.disable()
    lines = [*costliest_functions(profile, requests=4)]
    assert "built-in method builtins.sum" in lines[0]
    assert any(line.endswith(" cheap") and "   2.0   tests/bench" in line for line in lines)
    assert len([*costliest_functions(profile, requests=4, lines=1)]) == 1


@pytest.mark.parametrize(
    ("part", "named"), [("forward_auth", "forward_auth.py"), ("signin", "sqlite3"), ("tokens", "verification.py")]
)
def test_the_profile_of_a_part_is_that_of_its_requests(part: str, named: str) -> None:
    lines = profile_of(part)
    assert "us of processor time a request" in lines[0]
    assert any(named in line for line in lines)


def test_a_part_without_requests_has_no_profile() -> None:
    assert "pages" not in PROFILES
    assert profile_of("pages") == []


def test_the_command_prints_a_profile_and_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--profile", "served"]) == 0
    printed = capsys.readouterr().out
    assert "us of processor time a request" in printed
    assert "wanted" not in printed


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tokens", "nonsense"])
    assert end.value.code == 2
    assert "no such part: nonsense" in capsys.readouterr().err
