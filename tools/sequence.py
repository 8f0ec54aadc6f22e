"""Draw the sequence diagram of README.md as an SVG, for readers whose viewer knows no Mermaid.

The Mermaid text in README.md is the one source: `python -m tools.sequence` writes docs/images/sign-in.svg from it, and
a test says when the two have drifted apart. Understood is what that diagram uses: participants, arrows and notes.
"""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "README.md"
DRAWING = ROOT / "docs" / "images" / "sign-in.svg"

COLUMN, MARGIN, ROW, HEAD = 330, 130, 46, 64  # pixels
NOTE_WIDTH, NOTE_LINE = 250, 17
FONT = "font-family='DejaVu Sans, Verdana, Arial, sans-serif'"
INK, MOSS, LINE, PAPER = "#23302c", "#2f5d50", "#8b938f", "#f6f4ee"

PARTICIPANT = re.compile(r"(?:actor|participant) (\w+) as (.+)")
MESSAGE = re.compile(r"(\w+)(-{1,2}>>)(\w+): (.+)")
NOTE = re.compile(r"Note over (\w+): (.+)")


class NotUnderstood(ValueError):
    """A line of the diagram is none of those that can be drawn."""


@dataclass(frozen=True)
class Message:
    """An arrow; a dashed one is an answer."""

    sender: str
    receiver: str
    text: str
    is_answer: bool


@dataclass(frozen=True)
class Note:
    """What a participant does by itself; its text may have several lines."""

    over: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Diagram:
    """Participants by their short names, in order, and what happens, from top to bottom."""

    participants: dict[str, str]
    steps: tuple[Message | Note, ...]


def main() -> None:
    """Write the drawing."""
    DRAWING.parent.mkdir(parents=True, exist_ok=True)
    DRAWING.write_text(draw(read(SOURCE.read_text(encoding="utf-8"))), encoding="utf-8")


def read(document: str) -> Diagram:
    """Return the first Mermaid sequence diagram of *document*, or raise NotUnderstood with the line at fault."""
    text = document.partition("```mermaid\nsequenceDiagram\n")[2].partition("```")[0]
    participants: dict[str, str] = {}
    steps: list[Message | Note] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if found := PARTICIPANT.fullmatch(line):
            participants[found[1]] = found[2]
        elif found := MESSAGE.fullmatch(line):
            steps.append(Message(found[1], found[3], found[4], found[2] == "-->>"))
        elif found := NOTE.fullmatch(line):
            steps.append(Note(found[1], tuple(found[2].split("<br>"))))
        else:
            raise NotUnderstood(line)
    return Diagram(participants, tuple(steps))


def draw(diagram: Diagram) -> str:
    """Return the drawing: one column for each participant, one row for each step."""
    places = {name: MARGIN + number * COLUMN for number, name in enumerate(diagram.participants)}
    width = 2 * MARGIN + (len(places) - 1) * COLUMN
    body: list[str] = []
    y = HEAD + ROW // 2
    for step in diagram.steps:
        if isinstance(step, Message):
            y += ROW // 2
            body += _arrow(step, places, y)
            y += ROW // 2 - 4
        else:
            height = NOTE_LINE * len(step.lines) + 12
            body += _note(step, places[step.over], y - 10, height)
            y += height + 6
    height = y + 12
    head = [part for name, title in diagram.participants.items() for part in _participant(title, places[name], height)]
    title = "How a person signs in through the gateway, and out again"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
            f"role='img' {FONT} font-size='14' fill='{INK}'>",
            f"<title>{title}</title>",
            f"<rect width='{width}' height='{height}' rx='8' fill='#fff'/>",
            f"<defs><marker id='tip' markerWidth='9' markerHeight='8' refX='8' refY='4' orient='auto'>"
            f"<path d='M0 0 9 4 0 8z' fill='{MOSS}'/></marker></defs>",
            *head,
            *body,
            "</svg>",
            "",
        ]
    )


def _participant(title: str, x: int, bottom: int) -> list[str]:
    return [
        f"<line x1='{x}' y1='{HEAD - 8}' x2='{x}' y2='{bottom - 10}' stroke='{LINE}' stroke-dasharray='2 4'/>",
        f"<rect x='{x - 115}' y='14' width='230' height='36' rx='6' fill='{MOSS}'/>",
        f"<text x='{x}' y='37' text-anchor='middle' fill='#fff' font-weight='bold'>{escape(title)}</text>",
    ]


def _arrow(step: Message, places: dict[str, int], y: int) -> list[str]:
    start, end = places[step.sender], places[step.receiver]
    inset = 2 if end > start else -2
    dash = " stroke-dasharray='6 4'" if step.is_answer else ""
    middle = (start + end) // 2
    return [
        f"<line x1='{start}' y1='{y}' x2='{end - inset}' y2='{y}' stroke='{MOSS}' stroke-width='1.6'{dash} "
        "marker-end='url(#tip)'/>",
        f"<text x='{middle}' y='{y - 7}' text-anchor='middle' font-size='13' stroke='#fff' stroke-width='4' "
        f"paint-order='stroke'>{escape(step.text)}</text>",
    ]


def _note(note: Note, x: int, y: int, height: int) -> list[str]:
    box = f"<rect x='{x - NOTE_WIDTH // 2}' y='{y}' width='{NOTE_WIDTH}' height='{height}' rx='4' fill='{PAPER}' "
    lines = [
        f"<text x='{x}' y='{y + 18 + number * NOTE_LINE}' text-anchor='middle' font-size='12.5'>{escape(line)}</text>"
        for number, line in enumerate(note.lines)
    ]
    return [f"{box}stroke='{LINE}'/>", *lines]


if __name__ == "__main__":
    main()
