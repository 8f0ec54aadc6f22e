"""Run a command of the lab: `python -m lab COMMAND`, or in an installation `lychgate lab COMMAND`.

Each command is a module of lab/cli with `add_arguments(parser)` and `run(options) -> int`; only the requested module is
imported. The exit status is 0 for success, 1 for a finding, and 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from lab.cli import WrongUsage

COMMANDS: dict[str, tuple[str, str]] = {  # name: module, and its description in one line
    "token": ("lab.cli.token", "mint a token that is good, or wrong in one way"),
    "attack": ("lab.cli.attack", "send every bad token to a service provider, and tell which ones it accepts"),
    "serve-idp": ("lab.cli.serve_idp", "run an identity provider without passwords, for tests"),
    "serve-sp": ("lab.cli.serve_sp", "run an emulated service provider: iSpring Learn, Zendesk and others"),
    "check-sp": ("lab.cli.check_sp", "check a service provider, as a step of a CI"),
    "check-idp": ("lab.cli.check_idp", "check an identity provider by signing in, as a step of a CI"),
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m lab") -> int:
    """Run the command that *arguments* name, by default those of this process; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser(prog, given).parse_args(given)
    try:
        status: int = import_module(COMMANDS[options.command][0]).run(options)
    except WrongUsage as error:
        print(f"{prog} {options.command}: error: {error}", file=sys.stderr)
        return 2
    return status


def parser(prog: str, given: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser for *given*. It knows only the options of the command that *given* names first."""
    top = argparse.ArgumentParser(prog=prog, description="Test single sign-on by signed tokens.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = next((word for word in given if not word.startswith("-")), "")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == named:
            import_module(module).add_arguments(command)
    return top


if __name__ == "__main__":
    sys.exit(main())
