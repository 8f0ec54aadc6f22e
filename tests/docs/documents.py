"""The documents that people read, and the pieces of them that tests look at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "idp", "examples", "bench")
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "llms.txt", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
)
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:flask --app (?:sp|idp)|make|python run_\w+\.py) [^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    language: str
    body: str


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks() -> Iterator[Block]:
    """Yield every fenced block of every document, without its indentation."""
    for path in DOCUMENTS:
        for found in FENCE.finditer(text_of(path)):
            body = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
            yield Block(name_of(path), found["language"], body)


def commands() -> Iterator[tuple[str, str]]:
    """Yield every shell command with its document: each line of a block of `sh`, and those inside a sentence."""
    for block in blocks():
        if block.language == "sh":
            for line in block.body.replace("\\\n", " ").splitlines():
                if line.strip():
                    yield block.document, " ".join(line.split())
    for path in DOCUMENTS:
        if "reference/" not in name_of(path):  # made from the commands themselves
            for command in INLINE.findall(FENCE.sub("", text_of(path))):
                yield name_of(path), command
