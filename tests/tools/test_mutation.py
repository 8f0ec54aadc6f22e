"""The changes of `make mutation` that we wrote by hand still fit the source."""

import pytest

from lab.programs import ROOT
from tools.mutation import HAND_MADE, without_comment


@pytest.mark.parametrize(("module", "old", "new"), HAND_MADE)
def test_a_change_is_one_of_the_source(module: str, old: str, new: str) -> None:
    assert old in (ROOT / module).read_text()
    assert old != new


def test_a_comment_is_not_part_of_a_line() -> None:
    assert without_comment('    text = "a # b"  # why') == 'text = "a # b"'
