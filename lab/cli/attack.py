"""`lab attack`: try every fault against another service provider; print a line for each, accepted or refused."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from lab.attack.observation import ControlFailed
from lab.attack.run import Attack, Result
from lab.cli.target_options import add_target_options, drafts_of, faults_of, target_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_target_options(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(options: argparse.Namespace) -> int:
    """Print a line for each fault; return 1 if a bad token was accepted, 2 if the control failed."""
    attack = Attack(target_of(options), drafts_of(options))
    faults = faults_of(options)
    try:
        telling = attack.control()
        results = []
        for result in attack.faults(faults):
            results.append(result)
            if not options.json:
                print(line(result), flush=True)
        attack.finish()
    except ControlFailed as error:
        print(f"The control failed: {error}.", file=sys.stderr)
        return 2
    bad = [result for result in results if result.is_hole or (options.strict and result.is_lenient)]
    if options.json:
        print(json.dumps({**_head(options.url, telling, bad), "results": list(map(asdict, results))}, indent=2))
    else:
        print(summary(results))
    return 1 if bad else 0


def line(result: Result) -> str:
    """Return the result in one line."""
    outcome = f"{result.outcome.upper() if result.is_hole else result.outcome:9}"
    reason = f" ({result.because})" if result.outcome == "not tried" else ""
    rule = f" [{result.rule}]" if result.outcome == "accepted" else ""
    return f"{outcome}  {result.level:6}  {result.fault:24}  {result.what}{reason}{rule}"


def summary(results: list[Result]) -> str:
    """Return the counts in one line."""
    holes, lenient = sum(result.is_hole for result in results), sum(result.is_lenient for result in results)
    refused, left = (sum(result.outcome == outcome for result in results) for outcome in ("refused", "not tried"))
    return f"{holes} holes, {lenient} more accepted, {refused} refused, {left} not tried"


def _head(url: str, telling: tuple[str, ...], bad: list[Result]) -> dict[str, object]:
    return {"url": url, "passed": not bad, "told_by": list(telling), "accepted": [result.fault for result in bad]}
