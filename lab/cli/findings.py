"""Print findings: for a person, as JSON, as JUnit XML for a CI, and as a line for a badge."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from lab.cli import WrongUsage
from sp.diagnosis.conformance import grade
from sp.diagnosis.inspector import Finding, passes

MARKS = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped", "advice": "advice "}
COLORS = {"A": "brightgreen", "B": "yellowgreen", "F": "red"}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add --json, --junit and --badge."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write them as JUnit XML, too")
    parser.add_argument(
        "--badge", metavar="FILE", type=Path, help="write the grade, too, as JSON that shields.io takes as an endpoint"
    )


def report(findings: Sequence[Finding], options: argparse.Namespace, suite: str) -> int:
    """Print and write *findings*; return 1 if one failed, otherwise 0.

    Raises WrongUsage if a file cannot be written.
    """
    try:
        if options.junit:
            options.junit.write_bytes(junit(findings, suite, options.url))
        if options.badge:
            options.badge.write_text(json.dumps(badge(findings)), "utf-8")
    except OSError as error:
        raise WrongUsage(f"{error.filename}: {error.strerror}") from None
    if options.json:
        head = {"url": options.url, "passed": passes(list(findings)), "grade": grade(findings)}
        print(json.dumps({**head, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print("\n".join([*_lines(findings), summary(findings, suite, options.url)]))
    return 0 if passes(list(findings)) else 1


def summary(findings: Sequence[Finding], suite: str, url: str) -> str:
    """Return one line: grade and counts."""
    return f"{suite} {url}: {grade(findings)} - {_counts(findings)}"


def badge(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the JSON that shields.io reads from an endpoint: https://shields.io/badges/endpoint-badge."""
    mark = grade(findings)
    message = f"{mark}: {_counts(findings)}"
    return {"schemaVersion": 1, "label": "single sign-on", "message": message, "color": COLORS[mark]}


def junit(findings: Sequence[Finding], suite: str, url: str) -> bytes:
    """Return *findings* as JUnit XML. A failed finding is a failure, and a skipped one is skipped.

    Advice is written as system-out.
    """
    counts = {outcome: str(sum(f.outcome == outcome for f in findings)) for outcome in ("failed", "skipped")}
    root = ElementTree.Element("testsuites")
    top = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(f"{suite} {url}"),
        tests=str(len(findings)),
        failures=counts["failed"],
        skipped=counts["skipped"],
        errors="0",
    )
    for finding in findings:
        case = ElementTree.SubElement(top, "testcase", classname=f"lychgate.{suite}", name=_xml(finding.check))
        explanation, remedy = _xml(finding.explanation), _xml(finding.remedy)
        if finding.outcome == "failed":
            ElementTree.SubElement(case, "failure", message=explanation).text = remedy or explanation
        elif finding.outcome == "skipped":
            ElementTree.SubElement(case, "skipped", message=explanation)
        elif finding.outcome == "advice":
            ElementTree.SubElement(case, "system-out").text = f"advice: {explanation}. {remedy}"
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return text + b"\n"


def _lines(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.outcome]}  {finding.check}: {finding.explanation}")
        if finding.remedy and finding.outcome in ("failed", "advice"):
            lines.append(f"         -> {finding.remedy}")
    return lines


def _counts(findings: Sequence[Finding]) -> str:
    outcomes = ("passed", "failed", "advice", "skipped")
    return ", ".join(f"{sum(f.outcome == outcome for f in findings)} {outcome}" for outcome in outcomes)


def _xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
