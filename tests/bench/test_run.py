"""A run goes on after a part that fails, and counts what it could not measure as not met."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from bench.__main__ import _measure, rows_of, status
from bench.report import Run
from bench.timing import MET, VOID, Rounds, Row


class Part(ModuleType):
    """A part that measures one row and then fails as *failure* says."""

    failure: BaseException = AssertionError("a token was accepted twice\nand more")

    def rows(self) -> Iterator[Row]:
        yield Row("first", Rounds([2.0, 2.1]), "x", 1.0)
        raise self.failure


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Part:
    part = Part("bench.planted", "What the planted part measures.\n\nMore of it.")
    monkeypatch.setitem(sys.modules, "bench.planted", part)
    return part


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (
            AssertionError("a token was accepted twice\nand more"),
            "it failed: AssertionError: a token was accepted twice",
        ),
        (SystemExit("This part needs nginx"), "it failed: SystemExit: This part needs nginx"),
    ],
)
def test_a_part_that_fails_keeps_its_rows_and_gets_a_void_one(
    planted: Part, failure: BaseException, reason: str
) -> None:
    planted.failure = failure
    rows = [*rows_of("planted")]
    assert [row.verdict for row in rows] == [MET, VOID]
    assert rows[1].void == reason
    assert status(rows) == 1


def test_a_part_that_cannot_be_loaded_is_void() -> None:
    assert [row.verdict for row in rows_of("no_such_part")] == [VOID]


def test_an_interrupted_run_ends(planted: Part) -> None:
    planted.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        list(rows_of("planted"))


@pytest.mark.usefixtures("planted")
def test_what_is_measured_is_printed_and_kept_for_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(2)
    _measure("planted", run)
    printed = capsys.readouterr().out
    assert "planted: What the planted part measures.\n" in printed
    assert "ok   first" in printed
    assert "VOID the rest of planted" in printed
    assert run.titles == {"planted": "What the planted part measures."}
    assert [row.name for row in run.every_row] == ["first", "the rest of planted"]
