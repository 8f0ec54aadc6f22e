"""Build the documents as a site in build/site, with `python -m tools.docs_site`.

`make docs` installs Zensical and then runs this module. `stage` copies the documents (README.md, docs/, idp/README.md
and so on) into one folder and adapts their links. It also makes a page from every source file that a document links to.
Zensical then builds the HTML in strict mode. `finish` replaces the only script that a page would load from another
host.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
CONFIG = ROOT / "zensical.toml"
PAGES = {  # documents outside docs/, by the path of their page in the site
    "README.md": "index.md",
    "idp/README.md": "guides/identity-provider.md",
    "examples/README.md": "guides/examples.md",
    "bench/README.md": "benchmarks.md",
    "CHANGELOG.md": "changes.md",
}
RESULTS = "bench/results"  # results of the benchmarks: a page and a chart for each version
DECISIONS = "docs/decisions"
LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
SHIM = "https://unpkg.com/iframe-worker/shim"  # lets the search work from file://
OUR_SHIM = "assets/javascripts/worker-from-file.js"
FOREIGN = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".yml": "yaml",
    ".php": "php",
    ".mjs": "javascript",
    ".ts": "typescript",
    ".conf": "nginx",
}


class SiteRefused(Exception):
    """The site would load something from another host."""


def main() -> int:
    """Stage, build and finish the site, and return the exit status."""
    stage(BUILD / "docs")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(CONFIG)],
        cwd=ROOT,
        check=False,
    )
    if built.returncode:
        return built.returncode
    finish(BUILD / "site")
    print(f"Open {BUILD / 'site' / 'index.html'}")
    return 0


def stage(folder: Path) -> None:
    """Fill *folder* with every page of the site, as Markdown."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for picture in (ROOT / RESULTS).glob("*.svg"):
        write(folder / "benchmarks" / picture.name, picture.read_text(encoding="utf-8"))
    places = documents()
    for source, page in list(places.items()):
        write(folder / page, followed(source, page, places))
    write(folder / "decisions/index.md", list_of_decisions())
    for source, page in places.items():
        if page.startswith("files/"):
            write(folder / page, as_page(source))


def documents() -> dict[str, str]:
    """Return a mapping from each document's path in the repository to the path of its page in the site."""
    own = {path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix() for path in markdown_of_docs()}
    return (
        own
        | {source: page for source, page in PAGES.items() if (ROOT / source).exists()}
        | {f"{RESULTS}/{path.name}": f"benchmarks/{path.name}" for path in (ROOT / RESULTS).glob("*.md")}
        | {DECISIONS: "decisions/index.md"}
    )


def markdown_of_docs() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


def followed(source: str, page: str, places: dict[str, str]) -> str:
    """Return the document with links that lead to pages of the site. Add each linked source file to *places*."""
    if source == DECISIONS:
        return ""

    def follow(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(source), link["path"]))
        if target.startswith("docs/images/"):
            place = target.removeprefix("docs/")
        elif target.startswith(f"{RESULTS}/") and target.endswith(".svg"):
            place = target.replace(RESULTS, "benchmarks")
        elif target == "examples":
            place = places["examples/README.md"]
        else:
            place = places.setdefault(target, f"files/{target}.md")
        return f"]({os.path.relpath(place, os.path.dirname(page) or '.')}{link['anchor'] or ''})"

    return LINK.sub(follow, (ROOT / source).read_text(encoding="utf-8"))


def as_page(source: str) -> str:
    """Return a source file as a page."""
    text = (ROOT / source).read_text(encoding="utf-8").rstrip("\n")
    language = LANGUAGES.get(Path(source).suffix, "text")
    return f"# {source}\n\n````{language}\n{text}\n````\n"


def list_of_decisions() -> str:
    """Return the page that lists the decisions."""
    lines = ["# Decisions", "", "Why things are as they are, and what else was tried.", ""]
    for path in sorted((ROOT / DECISIONS).glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def finish(site: Path) -> None:
    """Replace the script from another host by our own file. Raises SiteRefused if a page loads another such file."""
    shutil.copy(ROOT / "tools" / "worker_from_file.js", site / OUR_SHIM)
    for path in sorted(site.rglob("*.html")):
        up = "../" * (len(path.relative_to(site).parts) - 1)
        text = path.read_text(encoding="utf-8").replace(SHIM, up + OUR_SHIM)
        path.write_text(text, encoding="utf-8")
        if found := [tag for tag in FOREIGN.findall(text) if 'rel="canonical"' not in tag]:
            raise SiteRefused(f"{path.relative_to(site)}: {found[0]}")


def pages_of_navigation() -> list[str]:
    """Return every page that the navigation of zensical.toml names, in order."""
    entries = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]
    found: list[str] = []
    while entries:
        entry = entries.pop(0)
        if isinstance(entry, str):
            found.append(entry)
        else:
            for inner in reversed(list(entry.values())):
                entries[:0] = inner if isinstance(inner, list) else [inner]
    return found


if __name__ == "__main__":
    sys.exit(main())
