"""What is in the wheel, what it requires, and what the image is made of."""

from __future__ import annotations

import re
import shutil
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lab.programs import ROOT
from lychgate import __version__
from tools import dist
from tools.one_name import NAME, PARTS


def test_the_wheel_puts_one_name_among_other_peoples_packages(built: tuple[Path, Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        files = wheel.namelist()
        metadata = wheel.read(f"lychgate-{__version__}.dist-info/METADATA").decode()
    assert {file.split("/")[0] for file in files} == {"lychgate", f"lychgate-{__version__}.dist-info"}
    assert "lychgate/py.typed" in files
    assert not [file for file in files if "/tests/" in file or "__pycache__" in file]
    for line in (f"Version: {__version__}", "License-Expression: Apache-2.0", "Requires-Python: >=3.11"):
        assert line in metadata.splitlines()


def test_the_wheel_has_every_file_of_the_source_but_tests(built: tuple[Path, Path, Path]) -> None:
    files = [path.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()]
    left_out = {"tests", "__pycache__", "README.md"}
    expected = {f"{NAME}/{file}" for file in files if not left_out & set(file.parts)}
    with zipfile.ZipFile(built[1]) as wheel:
        assert expected - set(wheel.namelist()) == set()
        html = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith((".html", ".py"))]
    assert not [found for text in html for found in re.findall(r"--app (?:sp|idp)\b.*", text)]


def test_each_requirement_of_the_wheel_is_met_by_its_pin_and_each_pin_has_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [texts for extra, texts in project["optional-dependencies"].items() if extra != "test"]
    asked = [*project["dependencies"], *(text for texts in extras for text in texts)]
    required = {canonicalize_name(item.name): item for item in map(Requirement, asked)}
    pins = direct_pins()
    assert set(required) == set(pins)
    for name, requirement in required.items():
        assert [item for item in requirement.specifier if item.operator == ">="], f"{name} has no lower bound"
        assert requirement.specifier.contains(pins[name]), f"{requirement} and its pin {pins[name]}"


def test_the_tests_of_others_run_on_the_pytest_that_ours_run_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (wanted,) = map(Requirement, project["optional-dependencies"]["test"])
    pinned = re.search(r"^pytest==(\S+)", (ROOT / "requirements-dev.txt").read_text("utf-8"), re.MULTILINE)
    assert wanted.name == "pytest"
    assert pinned is not None
    assert wanted.specifier.contains(pinned[1])


def direct_pins() -> dict[str, Version]:
    """Return what requirements.txt pins of the packages that the source imports: its first part."""
    first_part = (ROOT / "requirements.txt").read_text("utf-8").partition("# Brought along")[0]
    pinned = [Requirement(line.partition("#")[0].strip()) for line in first_part.splitlines() if "==" in line]
    return {canonicalize_name(item.name): Version(next(iter(item.specifier)).version) for item in pinned}


def test_the_image_has_what_its_build_needs_and_runs_as_an_ordinary_user(
    built: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Containerfile is read, and its build is repeated with the files that it copies; no image is built here."""
    text = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    build, image = split_stages(lines)
    for words in (arguments.split() for name, arguments in build if name == "COPY"):
        for source in words[:-1]:
            copy(ROOT / source, tmp_path / "source" / source)
    dist.hatchling("wheel", tmp_path, tmp_path / "source")
    assert next(tmp_path.glob("*.whl")).read_bytes() == built[1].read_bytes()

    last = dict(image)
    assert all(int(number) > 0 for number in last["USER"].split(":"))
    assert last["VOLUME"] == "/var/lib/lychgate"
    assert f"SP_INSTANCE={last['VOLUME']}" in last["ENV"].split()
    assert last["ENTRYPOINT"] == '["lychgate"]'
    assert {name for name, _ in lines} <= set(
        ["ARG", "FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"]
    )


def split_stages(lines: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    second = [index for index, (name, _) in enumerate(lines) if name == "FROM"][1]
    return lines[:second], lines[second:]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)
