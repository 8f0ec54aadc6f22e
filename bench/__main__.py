"""Measure every row and print the report (`make bench`). If a row missed its target or is void, the exit status is 1.

python -m bench [PART ...]            measure all parts, or those named
python -m bench --write [PART ...]    the same, and write the report into bench/results, with a chart
python -m bench --profile PART        only print where the time of a part goes

BENCH_ROUNDS=2 makes a quick run, with numbers that are not reliable.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator

from bench.profiles import PROFILES, profile_of
from bench.report import Run, write
from bench.timing import MET, MISSED, PAIRS, VOID, Row, unmeasured

PARTS = (
    *("start", "tokens", "gateway"),
    *("signin", "postgresql", "recording", "replay", "retention"),
    *("served", "proxies", "forward_auth", "percentiles"),
    "pages",
)
ALWAYS_PROFILED = ("signin", "postgresql", "forward_auth")


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts that are named, or all parts."""
    parser = _command_line()
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.profile:
        return _print_profile(profile_of(options.profile))
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors", flush=True)
    run = Run(PAIRS)
    for part in options.parts or PARTS:
        _measure(part, run)
    everything = run.every_row
    count = Counter(row.verdict for row in everything)
    print(f"\n{count[MET]} rows met, {count[MISSED]} missed, {count[VOID]} void")
    if options.write:
        print(f"Written: {write(run)}")
    return status(everything)


def _measure(part: str, run: Run) -> None:
    """Print the rows of *part* and add them to *run*.

    If a row missed its target, or if the part is in ALWAYS_PROFILED, also print the profile of the part and add it to
    *run*.
    """
    run.titles[part] = title_of(part)
    print(f"\n{part}: {run.titles[part]}", flush=True)
    run.rows[part] = [*_shown(rows_of(part))]
    if part in ALWAYS_PROFILED or any(row.verdict == MISSED for row in run.rows[part]):
        run.profiles[part] = profile_of(part)
        _print_profile(run.profiles[part])


def _print_profile(lines: Iterable[str]) -> int:
    print(*(f"     {line}" for line in lines), sep="\n", flush=True)
    return 0


def status(rows: Iterable[Row]) -> int:
    """Return the exit status: 0 only if every row is met."""
    return 0 if all(row.met for row in rows) else 1


def title_of(part: str) -> str:
    """Return the first line of the part's own description."""
    return (importlib.import_module(f"bench.{part}").__doc__ or "").strip().partition("\n")[0]


def rows_of(part: str) -> Iterator[Row]:
    """Yield the rows of *part*. If it fails, yield a void row, so that the other parts are still measured."""
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
    parser.add_argument("--write", action="store_true", help="write the page of this version into bench/results")
    parser.add_argument(
        "--profile", metavar="PART", choices=sorted(PROFILES), help="print where the time of a part goes"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the programs that it started are stopped
    sys.exit(main())
