"""An installation of our wheel beside a project whose own packages are called `sp`, `idp` and `shared`."""

from __future__ import annotations

import subprocess
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


def without_the_checkout(settings: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment without any path to the folder of the repository."""
    return private_environment({"PYTHONPATH": "", **(settings or {})})
