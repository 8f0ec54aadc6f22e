"""`lab check-sp`: check a service provider, as a step of a CI."""

from __future__ import annotations

import argparse

from lab.attack.run import Attack
from lab.checks.service_provider import check_service
from lab.cli.findings import add_report_options, report
from lab.cli.target_options import add_target_options, drafts_of, faults_of, target_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_target_options(parser)
    add_report_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return 1 if one failed, 2 if no valid token is accepted."""
    target = target_of(options)
    attack = Attack(target, drafts_of(options))
    findings = list(check_service(attack, target, faults_of(options), strict=options.strict))
    status = report(findings, options, "check-sp")
    return 2 if any(found.check == "control" and found.outcome == "failed" for found in findings) else status
