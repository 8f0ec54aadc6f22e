"""Draw the rows as a chart (SVG), which shows how many times better than its target each row is.

The scale is logarithmic, with the target in the middle. So a result twice as good and a result half as good have the
same distance from the middle. The line through a bar shows the range from the lowest to the highest round. The chart
can be read in light and dark mode, and without colours, because each bar has a label.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.timing import MET, MISSED, VOID, Row

LINE, TOP, BOTTOM = 26, 64, 40  # pixels
NAMES, WIDTH, VALUES = 480, 420, 170
LIMIT = 16.0  # times better or worse; longer bars end here
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
  .small { font-size: 11px; fill: #57606a }
  .head { font-size: 16px; font-weight: 600 }
  .back { fill: #ffffff }
  .grid { stroke: #d0d7de } .target { stroke: #1b1f24; stroke-width: 2 }
  .met { fill: #2f7d4f } .missed { fill: #b3261e } .void { fill: #8c959f }
  .noise { stroke: #1b1f24; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9aa4af }
    .back { fill: #0d1117 } .grid { stroke: #30363d } .target { stroke: #e6edf3 }
    .met { fill: #56b37f } .missed { fill: #f2776d } .void { fill: #6e7681 }
    .noise { stroke: #e6edf3 }
  }
"""


def chart(rows: Sequence[Row], version: str) -> str:
    """Return the chart of the rows that have a target and were measured."""
    drawn = [row for row in rows if not math.isinf(row.wanted) and not row.reason and row.value > 0]
    height = TOP + LINE * len(drawn) + BOTTOM
    width = NAMES + WIDTH + VALUES
    title = f"Lychgate {version}: each row of the benchmarks, times better than its target"
    said = "; ".join(f"{row.name}: {_times(row)}, {row.verdict}" for row in drawn)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(said)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        f'<text class="head" x="16" y="28">{escape(title)}</text>',
        *_grid(height),
        *(line for number, row in enumerate(drawn) for line in _bar(row, TOP + LINE * number)),
        f'<text class="small" x="16" y="{height - 12}">Thin lines: lowest to highest round.</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def better(row: Row, value: float) -> float:
    """Return how many times better than the target *value* is. A result below 1 misses the target."""
    return row.wanted / value if row.at_most else value / row.wanted


def _times(row: Row) -> str:
    return f"{better(row, row.value):.2g} times the target"


def _grid(height: int) -> list[str]:
    found = []
    for times in (1 / 16, 1 / 4, 1, 4, 16):
        x, kind = _x(times), "target" if times == 1 else "grid"
        label = "target" if times == 1 else f"{times:g} times" if times > 1 else f"1/{1 / times:g}"
        found.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM + 4}"/>')
        found.append(f'<text class="small" x="{x:.1f}" y="{TOP - 14}" text-anchor="middle">{label}</text>')
    return found


def _bar(row: Row, y: int) -> list[str]:
    value, target = _x(better(row, row.value)), _x(1)
    left, size = min(value, target), max(abs(value - target), 1.0)
    ends = sorted(_x(better(row, each)) for each in row.rounds if each > 0)
    middle = y + LINE / 2
    measured = f"{row.value:.3g} {row.unit}".strip()
    mark = {MET: "met", MISSED: "missed", VOID: "void"}.get(row.verdict, "")
    verdict = f'<tspan class="small">{mark}</tspan>'
    found = [
        f'<text x="16" y="{middle + 4}">{escape(row.name)}</text>',
        f'<rect class="{mark}" x="{left:.1f}" y="{y + 6}" width="{size:.1f}" height="{LINE - 12}" rx="2"/>',
        f'<text x="{NAMES + WIDTH + 12}" y="{middle + 4}">{escape(measured)} {verdict}</text>',
    ]
    if ends:
        found.append(f'<line class="noise" x1="{ends[0]:.1f}" x2="{ends[-1]:.1f}" y1="{middle}" y2="{middle}"/>')
    return found


def _x(times: float) -> float:
    bounded = min(max(times, 1 / LIMIT), LIMIT)
    return NAMES + WIDTH * (math.log(bounded) / math.log(LIMIT) + 1) / 2
