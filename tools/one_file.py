"""Make lychgate.pyz, one file that Python can run: the wheel, and the pure-Python packages that it requires.

The packages and their licences are copied from the environment in which this command runs, in its pinned versions.
Packages that must be compiled for a machine are left out. If such a package is missing at the start,
tools/one_file_main.py tells the user to install it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipapp
import zipfile
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

START = Path(__file__).with_name("one_file_main.py")
# These packages have compiled parts only for speed. Without the parts, they run equivalent Python code.
RUN_AS_PURE_PYTHON = ("markupsafe", "sqlalchemy", "wrapt")
COMPILED = (".so", ".pyd", ".c", ".pyx", ".pxd")
MADE_AT = 1_577_836_800  # 2020-01-01; a fixed time, so that the same content always makes the same archive


def make(wheel: Path, target: Path) -> None:
    """Write the archive for *wheel* to *target*."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        with zipfile.ZipFile(wheel) as file:
            file.extractall(stage / "tree")
        needs = add_packages(stage / "tree")
        shutil.copyfile(START, stage / "__main__.py")
        about = {"id": digest(stage), "needs": needs}
        (stage / "about.json").write_text(json.dumps(about), "utf-8")
        for path in stage.rglob("*"):
            os.utime(path, (MADE_AT, MADE_AT))
        zipapp.create_archive(stage, target, interpreter="/usr/bin/env python3", compressed=True)


def add_packages(tree: Path) -> list[str]:
    """Copy the packages that the wheel in *tree* requires, directly or indirectly, into *tree*.

    Return the requirements that the user must install, because their packages are compiled.
    """
    waiting = requirements((next(tree.glob("lychgate-*.dist-info")) / "METADATA").read_text("utf-8"))
    added: set[str] = set()
    needs: dict[str, SpecifierSet] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        package = distribution(name)
        if not is_pure(package) and name not in RUN_AS_PURE_PYTHON:
            needs[name] = needs.get(name, SpecifierSet()) & requirement.specifier
        elif name not in added:
            added.add(name)
            copy(package, tree)
            waiting += requirements(package.read_text("METADATA") or "")
    return sorted(f"{name}{specifier}" for name, specifier in needs.items())


def requirements(metadata: str) -> list[Requirement]:
    """Return the requirements in *metadata* for this Python, without extras."""
    found = [Requirement(text) for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist", [])]
    return [item for item in found if item.marker is None or item.marker.evaluate({"extra": ""})]


def is_pure(package: Distribution) -> bool:
    """Tell whether *package* contains only Python code."""
    return "Root-Is-Purelib: true" in (package.read_text("WHEEL") or "")


def copy(package: Distribution, tree: Path) -> None:
    """Copy the files of *package*, except its commands, caches and compiled parts."""
    for file in package.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix in COMPILED:
            continue
        target = tree / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)


def digest(stage: Path) -> str:
    """Return a hash of the content of *stage*. It is the name of the folder into which this content is unpacked."""
    found = hashlib.sha256()
    for file in sorted(path for path in stage.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(stage)}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    return found.hexdigest()[:32]
