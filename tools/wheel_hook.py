"""Put all packages into the wheel under the one name `lychgate`. Hatchling runs this build hook.

docs/decisions/0009-one-name-when-installed.md gives the reasons. The source distribution contains the unchanged
repository. A wheel can be built from the repository and from the source distribution, so `pip install .` also works.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # hatchling does not add the project to the path
from tools.one_name import NAME, PARTS, OneName

NOT_INSTALLED = ("__pycache__", "tests", "README.md")  # at any depth


class WheelHook(BuildHookInterface[Any]):
    """Writes the rewritten tree into a temporary folder outside the source, and removes it after the build."""

    _stage: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill the wheel. An editable installation is impossible, because the wheel contains rewritten files."""
        if version == "editable":
            raise RuntimeError("Lychgate cannot be installed in editable mode: work in the checkout, with make.")
        self._stage = tempfile.TemporaryDirectory()
        build_data["force_include"][str(stage(Path(self.root), Path(self._stage.name)))] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the staged tree."""
        if self._stage:
            self._stage.cleanup()


def stage(root: Path, into: Path) -> Path:
    """Write the package *NAME* below *into*, with the other folders of *root* in it, and return its folder."""
    names = OneName(root)
    package = into / NAME
    leave = shutil.ignore_patterns(*NOT_INSTALLED, ".*")
    shutil.copytree(root / NAME, package, ignore=leave)
    for part in PARTS:
        shutil.copytree(root / part, package / part, ignore=leave)
    for file in sorted(package.rglob("*")):
        if file.suffix == ".py":
            file.write_text(names.python(file.read_text("utf-8"), str(file.relative_to(into))), "utf-8")
        elif file.suffix in (".html", ".mako"):
            file.write_text(names.text(file.read_text("utf-8")), "utf-8")
    return package
