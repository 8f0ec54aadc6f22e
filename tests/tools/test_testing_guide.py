"""Each example of docs/testing.md runs as it is written, in an empty folder, with the installed wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.documents import blocks
from tests.support.installed import Installed

if TYPE_CHECKING:
    from lab.browser import Chromium

GUIDE = "docs/testing.md"
NAMED = re.compile(r"# (\w+\.py)\n")


def files_of_the_guide() -> dict[str, str]:
    """Return the text of each file that the guide shows, by its name, which is the first line of its block."""
    found = [block.body for block in blocks() if block.document == GUIDE and block.language == "python"]
    names = [name[1] for body in found if (name := NAMED.match(body))]
    assert len(set(names)) == len(found), "each block of Python in the guide begins with the name of a file"
    return dict(zip(names, found, strict=True))


@pytest.mark.browser
def test_every_example_of_the_guide_passes(installed: Installed, chromium: Chromium, tmp_path: Path) -> None:
    assert chromium.executable  # without one this is skipped
    files = files_of_the_guide()
    tests = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in files.values())
    found = installed.run_pytest(tmp_path / "guide", files)
    assert found.keys() == {"passed"}
    assert found["passed"] >= tests > 20
