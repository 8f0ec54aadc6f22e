"""Run the command `lychgate`, which starts the gateway, the identity provider, a demo of both, or the lab for tests."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from lychgate import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name, and return its exit status.

    By default, *arguments* are those of this process.
    """
    options, others = parser().parse_known_args(arguments)
    run: Callable[[Sequence[str]], int] = options.run
    return run(others)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. Each program parses the arguments after its own name itself."""
    top = argparse.ArgumentParser(
        prog="lychgate",
        description="Single sign-on by signed tokens.",
        epilog="Commands for users, providers and keys: flask --app sp --help, flask --app idp --help",
    )
    top.add_argument("--version", action="version", version=f"lychgate {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for name, what, run in (
        ("gateway", "run the gateway in front of the application that SP_APP names", gateway),
        ("idp", "run the identity provider", identity_provider),
        ("demo", "run both on this machine, with two demo users", demo),
        ("lab", "test single sign-on: tokens good and bad, attacks, peers to test against", lab),
    ):
        commands.add_parser(name, help=what, add_help=False).set_defaults(run=run)
    return top


def gateway(arguments: Sequence[str]) -> int:
    """Serve the gateway."""
    find_what_is_here()
    from shared.serving import main as serve

    def load() -> ModuleType:
        import sp

        return sp

    serve(load, "Serve the gateway.", 5000, arguments, "lychgate gateway")
    return 0


def identity_provider(arguments: Sequence[str]) -> int:
    """Serve the identity provider."""
    find_what_is_here()
    from shared.serving import main as serve

    def load() -> ModuleType:
        import idp

        return idp

    serve(load, "Serve the identity provider.", 5001, arguments, "lychgate idp")
    return 0


def demo(arguments: Sequence[str]) -> int:
    """Run the gateway and the identity provider for a first try.

    This command has no options. Environment variables change its settings.
    """
    from lychgate import demo as the_demo

    argparse.ArgumentParser(
        "lychgate demo", description=the_demo.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    return the_demo.main()


def lab(arguments: Sequence[str]) -> int:
    """Run a command of the lab."""
    from lab.__main__ import main as run

    return run(arguments, "lychgate lab")


def find_what_is_here() -> None:
    """Add the current folder to the module path, as `flask` and `python -m` do.

    SP_APP and IDP_PEOPLE may name a module in this folder.
    """
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)


if __name__ == "__main__":
    sys.exit(main())
