"""The page of a version and its chart: every row with its noise, what was missed or void, and where the time went."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bench.chart import better, chart
from bench.report import Run, write
from bench.timing import NO_TARGET, Rounds, Row, told, unmeasured
from shared.version import VERSION

MET = Row("a rate <of> something & more", Rounds([3.9, 4.0, 4.1]), "x", 2.0, note="4,000/s")
MISSED = Row("a time", Rounds([90.0, 100.0, 120.0]), "us", 50.0, at_most=True)
VOID = Row("too far apart", Rounds([1.0, 2.0, 9.0]), "x", 1.0)
ROWS = [MET, MISSED, VOID, told("a median", Rounds([1.0, 1.1]), "ms"), unmeasured("times Node", "npm is missing")]
SVG = "{http://www.w3.org/2000/svg}"


def run() -> Run:
    return Run(3, {"signin": "Sign-ins."}, {"signin": ROWS}, {"signin": ["  12.0 us  commit | of sqlite3"]}, 0.25)


def parsed(drawn: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawn)  # noqa: S314 - our own


def test_the_page_has_every_row_with_its_noise_its_target_and_its_reason(tmp_path: Path) -> None:
    text = write(run(), tmp_path).read_text()
    assert "| a time | 100 µs | 90 to 120 in 3 rounds | at most 50 µs | **missed**" in text
    assert "| too far apart | 2 x | 1 to 9 in 3 rounds | at least 1 x | **void** its rounds differ by 400%" in text
    assert "| times Node |  |  |  | **void** npm is missing |" in text
    assert "| a median | 1.05 ms | 1 to 1.1 in 2 rounds |  | told" in text
    assert "5 rows, of which 1 missed their target and 2 are void" in text
    assert "```text\n  12.0 us  commit | of sqlite3\n```" in text


def test_the_page_says_on_what_machine_how_busy_it_was_and_what_was_compared(tmp_path: Path) -> None:
    text = write(run(), tmp_path).read_text()
    assert "3 rounds" in text
    assert "processors" in text
    assert "0.2 before the run" in text
    assert "SQLAlchemy 2." in text
    assert "express 5." in text


def test_the_list_of_results_names_every_version_that_was_written(tmp_path: Path) -> None:
    (tmp_path / "0.0.1.md").write_text("# earlier")
    write(run(), tmp_path)
    assert (tmp_path / "README.md").read_text().endswith(f"- [{VERSION}]({VERSION}.md)\n- [0.0.1](0.0.1.md)\n")
    assert (tmp_path / f"{VERSION}.svg").exists()


def test_the_chart_is_well_formed_says_in_words_what_it_shows_and_has_two_palettes() -> None:
    drawn = chart(ROWS, "9.9")
    picture = parsed(drawn)
    title, told_in_words = picture.find(f"{SVG}title"), picture.find(f"{SVG}desc")
    assert title is not None
    assert "9.9" in (title.text or "")
    assert told_in_words is not None
    assert "a rate <of> something & more: 2 times the target, met" in (told_in_words.text or "")
    assert "a time: 0.5 times the target, missed" in (told_in_words.text or "")
    assert picture.get("aria-labelledby") == "t d"
    assert "prefers-color-scheme: dark" in drawn


def test_the_chart_has_a_bar_for_each_row_that_has_a_target_and_was_measured() -> None:
    picture = parsed(chart(ROWS, "9.9"))
    bars = {bar.get("class"): bar for bar in picture.iter(f"{SVG}rect") if bar.get("class") != "back"}
    assert set(bars) == {"met", "missed", "void"}
    noise = [line for line in picture.iter(f"{SVG}line") if line.get("class") == "noise"]
    assert len(noise) == 3
    target = next(line for line in picture.iter(f"{SVG}line") if line.get("class") == "target")
    assert float(bars["met"].get("x", "")) == float(target.get("x1", ""))
    assert float(bars["missed"].get("x", "")) < float(target.get("x1", ""))


def test_twice_as_good_is_two_whether_more_or_less_is_wanted() -> None:
    assert better(Row("", 4.0, "x", 2.0), 4.0) == 2.0
    assert better(Row("", 25.0, "us", 50.0, at_most=True), 25.0) == 2.0


def test_a_row_without_a_target_has_none_on_the_page() -> None:
    assert told("a", 1.0, "").wanted == NO_TARGET
