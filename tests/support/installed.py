"""An installation of our wheel beside a project whose own packages are called `sp`, `idp` and `shared`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.programs import private_environment

SECONDS = 120  # for a command, on a busy machine


@dataclass(frozen=True)
class Installed:
    """An environment with our wheel, and a project beside it whose packages have our folders' names."""

    bin: Path
    project: Path

    def run(self, *command: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.project,
            env=without_the_checkout(settings),
            input=typed,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def run_pytest(self, folder: Path, files: Mapping[str, str], *options: str) -> dict[str, int]:
        """Run pytest on *files* in a new folder, with what the wheel brings; return the counts of its outcomes."""
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        done = subprocess.run(
            [str(self.bin / "python"), "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=folder,
            env=without_the_checkout() | {"CI": ""},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        counts = re.findall(r"(\d+) (passed|failed|skipped|errors?)", done.stdout.splitlines()[-1])
        return {outcome: int(count) for count, outcome in counts}


def without_the_checkout(settings: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment without any path to the folder of the repository."""
    return private_environment({"PYTHONPATH": "", **(settings or {})})
