"""The tests keep their files in memory if the user chose no other folder, there is room, and programs can run there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support import temporary
from tests.support.temporary import SETTINGS, use_memory


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the user's own."""
    for name in SETTINGS:
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    monkeypatch.setattr(temporary, "NEEDED", 1)


@pytest.mark.usefixtures("unset")
def test_a_folder_with_room_is_used(tmp_path: Path) -> None:
    assert use_memory(tmp_path)
    assert tempfile.gettempdir() == os.environ["PYTEST_DEBUG_TEMPROOT"] == str(tmp_path)


@pytest.mark.usefixtures("unset")
def test_a_folder_without_room_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "NEEDED", 1 << 62)
    assert not use_memory(tmp_path)
    assert os.environ["TMPDIR"] == ""


@pytest.mark.usefixtures("unset")
def test_a_folder_that_is_missing_or_runs_no_programs_is_not_used(tmp_path: Path) -> None:
    assert not use_memory(tmp_path / "missing")
    assert not use_memory(Path("/proc"))


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_folder_that_the_user_chose_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/elsewhere")
    assert not use_memory(tmp_path)
