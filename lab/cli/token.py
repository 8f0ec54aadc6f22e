"""`lab token`: mint a token, valid or with one fault, and print it."""

from __future__ import annotations

import argparse
import json

from lab.cli import WrongUsage
from lab.cli.token_options import add_token_options, draft_of, key_of
from lab.faults import FAULTS, NotApplicable, UnknownFault, fault_named

SHOWN = ("name", "level", "what", "rule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_token_options(parser, key_is_needed=False)
    parser.add_argument("--fault", metavar="NAME", help="make it wrong in this way")
    parser.add_argument("--list-faults", action="store_true", help="list the faults instead")
    parser.add_argument("--json", action="store_true", help="with --list-faults: as JSON")
    parser.epilog = (
        "A fault of a second use prints two tokens, a line each: send both, the second one is to be rejected. "
        "Without --claim and --without a token has iat, nbf, exp, jti, sub, email, given_name, family_name and name."
    )


def run(options: argparse.Namespace) -> int:
    """Print the token, or the list of faults."""
    if options.list_faults:
        print(_as_json() if options.json else _as_text())
        return 0
    if not options.key:
        raise WrongUsage("--key is needed")
    good = draft_of(options, key_of(options))
    if not options.fault:
        print(good.token())
        return 0
    try:
        print("\n".join(fault_named(options.fault).tokens(good)))
    except (NotApplicable, UnknownFault) as error:
        raise WrongUsage(f"--fault: {error}") from None
    return 0


def _as_json() -> str:
    return json.dumps([{name: getattr(fault, name) for name in SHOWN} for fault in FAULTS.values()], indent=2)


def _as_text() -> str:
    width = max(map(len, FAULTS))
    lines = [f"{fault.name:{width}}  {fault.level:6}  {fault.what} ({fault.rule})" for fault in FAULTS.values()]
    return "\n".join([*lines, "", *_legend()])


def _legend() -> list[str]:
    holes = sum(fault.level == "hole" for fault in FAULTS.values())
    return [
        f"{len(FAULTS)} faults. hole ({holes}): every service provider must reject it, as an attacker can send it.",
        "strict: a strict service provider rejects it, as only a faulty identity provider sends it.",
    ]
