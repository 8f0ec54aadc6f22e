"""Start Lychgate from lychgate.pyz: `python lychgate.pyz gateway|idp|demo`. tools/one_file.py makes lychgate.pyz.

Templates, migrations and the processes that Lychgate starts need real files. So the first start unpacks the archive
into this user's cache folder, and later starts use the unpacked files. This module is the `__main__.py` of the archive.
It imports our modules only after the files are unpacked.
"""

import json
import os
import platform
import shutil
import stat
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OLDEST = (3, 11)


def main() -> None:
    """Unpack the archive if necessary, report missing packages, and run the command."""
    if sys.version_info < OLDEST:
        sys.exit(f"Lychgate needs Python 3.11 or later. This is Python {platform.python_version()}.")
    archive = Path(sys.path[0]).resolve()
    with zipfile.ZipFile(archive) as file:
        about = json.loads(file.read("about.json"))
        tree = unpacked(file, cache_folder() / about["id"])
    sys.path[0] = str(tree)
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(tree), *([inherited] if inherited else [])])
    if missing := missing_packages(about["needs"]):
        sys.exit(complaint(missing))

    from lychgate.__main__ import main as run

    sys.exit(run())


def cache_folder() -> Path:
    """Return this user's folder for unpacked versions. Code runs from it, so only that user may write there."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "lychgate"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"Lychgate unpacks itself into {folder}, which cannot be made: {error.strerror}. Set XDG_CACHE_HOME.")
    found = folder.lstat()  # not stat, which follows a link: another user could change the link later
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        sys.exit(f"{folder} is not a folder that only you can write, so code is not run from it. Set XDG_CACHE_HOME.")
    return folder


def unpacked(file: zipfile.ZipFile, folder: Path) -> Path:
    """Unpack *file* into *folder* if *folder* does not exist yet, and return *folder*.

    The folder gets its name only when it is complete, so several programs may start at the same time.
    """
    if folder.is_dir():
        return folder
    os.umask(0o077)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        file.extractall(draft, [name for name in file.namelist() if name.startswith("tree/")])
        (draft / "tree").rename(folder)
    except OSError as error:
        if not folder.is_dir():  # otherwise another start was faster
            sys.exit(f"Lychgate cannot unpack itself into {folder.parent}: {error.strerror}.")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def missing_packages(needs: list[str]) -> list[str]:
    """Return the requirements that this Python does not meet."""
    from packaging.requirements import Requirement  # the archive contains it, so unpack first

    def is_met(requirement: Requirement) -> bool:
        try:
            return requirement.specifier.contains(version(requirement.name), prereleases=True)
        except PackageNotFoundError:
            return False

    return [text for text in needs if not is_met(Requirement(text))]


def complaint(missing: list[str]) -> str:
    """Return the instruction to install missing packages."""
    return (
        "lychgate.pyz brings everything that is pure Python. It cannot bring compiled packages, and this Python lacks\n"
        + "".join(f"  {requirement}\n" for requirement in missing)
        + "Install them, then start again:\n"
        + f"  {sys.executable} -m pip install "
        + " ".join(f"'{requirement}'" for requirement in missing)
    )


if __name__ == "__main__":
    main()
