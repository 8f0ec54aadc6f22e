"""`make bench`: measure every row and print the report. Exit status 1 if a row missed what was wanted, or is void.

python -m bench [PART ...]            measure all parts, or those named
python -m bench --profile PART        only print where the time of a part goes

BENCH_ROUNDS=2 makes a quick run, whose numbers mean little.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator

from bench.profiles import KINDS, profile_of
from bench.timing import MET, MISSED, VOID, Row, unmeasured

PARTS = (
    *("tokens", "gateway"),
    *("signin", "postgresql", "recording", "replay", "retention"),
    *("served", "proxies", "forward_auth", "percentiles"),
    "pages",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are named, or all."""
    parser = _command_line()
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.profile:
        return _print_profile(options.profile)
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors", flush=True)
    everything = [row for part in options.parts or PARTS for row in _measured(part)]
    count = Counter(row.verdict for row in everything)
    print(f"\n{count[MET]} rows met, {count[MISSED]} missed, {count[VOID]} void")
    return status(everything)


def _measured(part: str) -> list[Row]:
    """Print the rows of *part*, and its profile if one was missed; return the rows."""
    print(f"\n{part}: {title_of(part)}", flush=True)
    rows = [*_shown(rows_of(part))]
    if any(row.verdict == MISSED for row in rows):
        _print_profile(part)
    return rows


def _print_profile(part: str) -> int:
    print(*(f"     {line}" for line in profile_of(part)), sep="\n", flush=True)
    return 0


def status(rows: Iterable[Row]) -> int:
    """Return the exit status: 0 only if every row is met."""
    return 0 if all(row.met for row in rows) else 1


def title_of(part: str) -> str:
    """Return the first line of the part's own description."""
    return (importlib.import_module(f"bench.{part}").__doc__ or "").strip().partition("\n")[0]


def rows_of(part: str) -> Iterator[Row]:
    """Yield the rows of *part*; a void one if it fails, so that the other parts are measured."""
    try:
        yield from importlib.import_module(f"bench.{part}").rows()
    except (Exception, SystemExit) as failure:
        traceback.print_exc()
        yield unmeasured(f"the rest of {part}", f"it failed: {type(failure).__name__}: {failure}".partition("\n")[0])


def _shown(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        print(row, flush=True)
        yield row


def _command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--profile", metavar="PART", choices=sorted(KINDS), help="print where the time of a part goes")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    return parser


if __name__ == "__main__":
    sys.exit(main())
