"""Build the files that people install: the sdist, a wheel made from it, and lychgate.pyz. `make dist` runs this.

    python -m tools.dist [FOLDER]

The wheel is built from the unpacked sdist. So a file that is missing from the sdist is noticed here.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools import one_file

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Build all three files, and print their names and sizes."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    for file in build(folder):
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")


def build(folder: Path) -> tuple[Path, Path, Path]:
    """Remove the files of an earlier build from *folder*, then build the sdist, the wheel and the pyz there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("lychgate-*.whl"), *folder.glob("lychgate-*.tar.gz"), *folder.glob("lychgate.pyz")]:
        old.unlink()
    hatchling("sdist", folder, ROOT)
    sdist = next(folder.glob("lychgate-*.tar.gz"))
    with tempfile.TemporaryDirectory() as unpacked, tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12 has Python 3.11.2, without it
        archive.extractall(unpacked)  # noqa: S202  we have just made it
        hatchling("wheel", folder, next(Path(unpacked).iterdir()))
    wheel = next(folder.glob("lychgate-*.whl"))
    one_file.make(wheel, folder / "lychgate.pyz")
    return sdist, wheel, folder / "lychgate.pyz"


def hatchling(target: str, folder: Path, source: Path) -> None:
    """Build one *target* of the project in *source*."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
