"""The changes of `make mutation` that we wrote by hand still fit the source."""

from pathlib import Path

import pytest

from lab.programs import ROOT
from tools.mutation import HAND_MADE, copy_source, notice_nothing, without_comment


@pytest.mark.parametrize(("module", "old", "new"), HAND_MADE)
def test_a_change_is_one_of_the_source(module: str, old: str, new: str) -> None:
    assert old in (ROOT / module).read_text()
    assert old != new


def test_a_comment_is_not_part_of_a_line() -> None:
    assert without_comment('    text = "a # b"  # why') == 'text = "a # b"'


def test_the_copy_has_all_that_the_tests_import(tmp_path: Path) -> None:
    assert notice_nothing(copy_source(tmp_path))
